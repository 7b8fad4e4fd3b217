"""The live viewer lets no other web page in, and cannot be made to share its scene."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets.exceptions
from test_view import standing_result
from websockets.sync.client import connect

from poseterior.cli.view import View
from poseterior.files.errors import InputError
from poseterior.view import serve
from poseterior.view.serving import start_server, stop_server
from poseterior.web import Answer, Head

TOKEN = "a secret of some length"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve(standing_result(), port=0) as viewer:
        yield viewer.server.get_port()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Any]:
    with serve(standing_result(), port=0, token=TOKEN) as viewer:
        yield viewer


def protocol() -> Any:
    import viser

    return f"viser-v{viser.__version__}"


def shake(port: int, headers: dict[str, str] | None = None, **options: Any) -> int:
    """Status of a websocket handshake: 101 where it is done and a message of the scene came."""
    headers = dict(headers or {})
    host = headers.pop("Host", f"127.0.0.1:{port}")
    try:
        with connect(
            f"ws://{host}/", sock=socket.create_connection(("127.0.0.1", port)), additional_headers=headers,
            subprotocols=[protocol()], compression=None, max_size=None, **options,
        ) as connection:  # fmt: skip
            assert len(connection.recv(timeout=20)) > 100
            return 101
    except websockets.exceptions.InvalidStatus as error:
        return error.response.status_code


def get(port: int, path: str = "/", **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={key.replace("_", "-"): value for key, value in headers.items()})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, {key.lower(): value for key, value in response.getheaders()}


def test_the_own_page_is_let_in(port: int) -> None:
    assert shake(port) == 101
    assert shake(port, origin=f"http://127.0.0.1:{port}") == 101
    assert shake(port, {"Host": f"localhost:{port}"}, origin=f"http://localhost:{port}") == 101
    status, headers = get(port)
    assert status == 200
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "https://localhost", "null"])
def test_another_origin_is_refused_before_the_handshake(port: int, origin: str) -> None:
    assert shake(port, origin=origin) == 403
    assert get(port, Origin=origin)[0] == 403


def test_another_host_is_refused_before_the_handshake(port: int) -> None:
    host = f"rebound.example:{port}"
    assert shake(port, {"Host": host}) == 403
    assert shake(port, {"Host": host}, origin=f"http://{host}") == 403
    assert get(port, Host=host)[0] == 403
    assert get(port, Host="[::1")[0] == 400


@pytest.mark.parametrize("message", ["ShareUrlRequest", "ShareUrlDisconnect"])
def test_a_request_to_share_does_nothing(port: int, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    import msgspec
    import viser._viser

    made: list[object] = []
    monkeypatch.setattr(viser._viser, "ViserTunnel", lambda *given, **_: made.append(given))
    arrived = threading.Event()
    server = start_server("127.0.0.1", 0, "test")
    try:
        server._websock_server.register_handler(getattr(viser._messages, message), lambda *_: arrived.set())
        number = server.get_port()
        with connect(
            f"ws://127.0.0.1:{number}/", subprotocols=[protocol()], compression=None, max_size=None, proxy=None
        ) as connection:
            connection.send(msgspec.msgpack.encode({"type": message}))
            arrived.wait(20)
        assert arrived.is_set(), "the request has come"
        server._thread_executor.submit(lambda: None).result(20)
        assert server.request_share_url() is None
        assert server._share_tunnel is None
    finally:
        stop_server(server)
    assert made == []


def test_the_token_is_exchanged_for_a_cookie(guarded: Any) -> None:
    number = guarded.server.get_port()
    assert guarded.url == f"http://127.0.0.1:{number}/?token=a+secret+of+some+length"
    assert shake(number) == 401
    assert get(number)[0] == 401
    assert get(number, "/?token=wrong")[0] == 401
    status, headers = get(number, "/?token=a+secret+of+some+length")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"].split(";")[0]
    assert shake(number, {"Cookie": cookie}) == 101
    assert shake(number, {"Cookie": cookie}, origin="http://evil.example") == 403
    assert get(number, Cookie=cookie)[0] == 200
    assert shake(number, {"Cookie": cookie, "Host": f"192.0.2.7:{number}"}) == 101, "others may come, with the token"


def test_addresses_that_others_reach_need_a_token(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--host 0\.0\.0\.0: other machines can reach this address; add --token"):
        serve(standing_result(), host="0.0.0.0", port=0)
    with pytest.raises(InputError, match="a token needs at least 16 characters"):
        serve(standing_result(), host="0.0.0.0", port=0, token="short")
    standing_result().save(tmp_path / "result.npz")
    with pytest.raises(InputError, match=r"--host 0\.0\.0\.0: other machines can reach this address; add --token"):
        View(tmp_path / "result.npz", host="0.0.0.0", port=0).run()
    with serve(standing_result(), host="0.0.0.0", port=0, token=TOKEN) as viewer:
        assert get(viewer.server.get_port())[0] == 401


def test_servers_that_start_at_the_same_time_keep_their_own_doors() -> None:
    import viser.infra._infra
    import websockets

    def nobody(head: Head) -> Answer:
        return Answer(403, "This server answers nobody.")

    servers: list[tuple[bool, Any]] = []

    def start(closed: bool) -> None:
        servers.append((closed, start_server("127.0.0.1", 0, "test", nobody if closed else None)))

    threads = [threading.Thread(target=start, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert sorted(closed for closed, _ in servers) == [False, False, True, True]
        assert {(closed, shake(server.get_port())) for closed, server in servers} == {(True, 403), (False, 101)}
        assert viser.infra._infra.websockets is websockets, "other servers of viser are not touched"
    finally:
        for _, server in servers:
            stop_server(server)


def test_a_viser_that_cannot_be_guarded_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version that listens in another way must not go unnoticed."""
    import contextlib

    from poseterior.view import serving

    @contextlib.contextmanager
    def blind(check: Any) -> Iterator[list[bool]]:
        yield []

    monkeypatch.setattr(serving, "_guarded", blind)
    with pytest.raises(InputError, match="the viewer cannot be guarded with viser"):
        start_server("127.0.0.1", 0, "test")
