"""Who may ask a local web server: names, origins, secrets, and redirects that stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from poseterior import web
from poseterior.files.errors import InputError
from poseterior.web import Answer, Doorkeeper, Head, check_token, find_token, needs_token

TOKEN = "open sesame & more"
OWNER = "the owner's own secret"


def head(target: str = "/", host: str | None = "127.0.0.1:8080", method: str = "GET", **headers: str) -> Head:
    lines = [("host", host)] if host is not None else []
    return Head(
        method, target, (*lines, *((key.replace("_", "-"), value) for key, value in headers.items())), "192.0.2.1"
    )


def status(answer: Answer | None) -> int:
    return 200 if answer is None else answer.status


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.1.2.3"])
def test_the_machines_own_names_are_let_in(host: str) -> None:
    assert Doorkeeper().check(head(host=host)) is None
    assert Doorkeeper().check(head(host=host, origin=f"http://{host}")) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "https://evil.example:8080", "http://127.0.0.1:8081", "http://localhost:8080", "null",
        "http://127.0.0.1", "chrome-extension://abcdefgh",
    ],
)  # fmt: skip
def test_other_origins_are_refused(origin: str) -> None:
    for keeper in (Doorkeeper(), Doorkeeper(TOKEN)):
        assert status(keeper.check(head(origin=origin))) == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "192.0.2.7", "0.0.0.0"]
)
def test_other_hosts_are_refused_unless_there_is_a_token(host: str) -> None:
    assert status(Doorkeeper().check(head(host=host))) == 403
    assert status(Doorkeeper().check(head(host=host, origin=f"http://{host}"))) == 403
    assert status(Doorkeeper(TOKEN).check(head(host=host))) == 401


@pytest.mark.parametrize(
    "host",
    [None, "", "[::1", "a b", "127.0.0.1:99999", "127.0.0.1:x", "user@127.0.0.1", "\udc80", "é.example", "[1.2]"],
)
def test_what_is_no_host_is_a_bad_request(host: str | None) -> None:
    assert status(Doorkeeper().check(head(host=host))) == 400


@pytest.mark.parametrize(
    "origin",
    ["", "127.0.0.1", "http://", "http://[::1", "http://[", "http://a b", "http://a/b", "\udc80", "file://a:80.b"],
)
def test_what_is_no_origin_is_a_bad_request(origin: str) -> None:
    assert status(Doorkeeper().check(head(origin=origin))) == 400


def test_two_of_one_header_are_a_bad_request() -> None:
    lines = (("host", "127.0.0.1"), ("host", "127.0.0.1"))
    assert status(Doorkeeper().check(Head("GET", "/", lines))) == 400
    lines = (("host", "127.0.0.1"), ("origin", "http://127.0.0.1"), ("origin", "http://127.0.0.1"))
    assert status(Doorkeeper().check(Head("GET", "/", lines))) == 400


def test_pages_elsewhere_may_link_here_but_not_load_or_frame() -> None:
    keeper = Doorkeeper()
    for mode, dest, expected in (
        ("navigate", "document", 200), ("navigate", "iframe", 403), ("no-cors", "image", 403),
        ("websocket", "websocket", 403),
    ):  # fmt: skip
        found = keeper.check(head(sec_fetch_site="cross-site", sec_fetch_mode=mode, sec_fetch_dest=dest))
        assert status(found) == expected
    assert keeper.check(head(sec_fetch_site="same-origin", sec_fetch_mode="no-cors", sec_fetch_dest="image")) is None


def cookie_of(answer: Answer | None) -> str:
    assert answer is not None
    return dict(answer.headers)["Set-Cookie"].split(";")[0]


def test_a_token_becomes_a_random_cookie() -> None:
    keeper = Doorkeeper(TOKEN)
    assert status(keeper.check(head())) == 401
    first, second = (keeper.check(head("/results?a=1&token=open+sesame+%26+more&b=")) for _ in range(2))
    assert first is not None
    assert (first.status, dict(first.headers)["Location"]) == (303, "/results?a=1&b=")
    assert "HttpOnly" in dict(first.headers)["Set-Cookie"]
    assert cookie_of(first) != cookie_of(second)
    assert "sesame" not in str(first)
    assert keeper.check(head(cookie=cookie_of(first))) is None
    assert keeper.check(head(cookie="x=1; " + cookie_of(second))) is None
    assert not keeper.is_owner(head(cookie=cookie_of(first)))
    name = cookie_of(first).split("=")[0]
    for wrong in (f"{name}=", f"{name}={TOKEN}", f"{name}=x", "\x00", "=;;="):
        assert status(keeper.check(head(cookie=wrong))) == 401
    assert status(Doorkeeper(TOKEN).check(head(cookie=cookie_of(first)))) == 401, "a cookie is of one run"
    assert keeper.check(head("/api?token=open+sesame+%26+more", method="POST")) is None


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("//evil.example/", "/evil.example/"), ("///evil.example", "/evil.example"),
        ("/\\evil.example", "/evil.example"),
        ("/\\/evil.example", "/evil.example"), ("/%5Cevil.example", "/%5Cevil.example"), ("/a//b", "/a//b"),
    ],
)  # fmt: skip
def test_redirects_stay_on_the_host(target: str, location: str) -> None:
    answer = Doorkeeper(TOKEN).check(head(target + "?token=open+sesame+%26+more"))
    assert answer is not None
    assert dict(answer.headers)["Location"] == location
    for strange in ("http://evil.example/", "/\t/evil.example", "*", "", "/\r\nSet-Cookie: a=b", "/\udc80"):
        assert status(Doorkeeper(TOKEN).check(head(strange + "?token=open+sesame+%26+more"))) == 400


def test_guesses_are_limited_also_for_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(web.time, "monotonic", lambda: now[0])
    keeper = Doorkeeper(TOKEN)
    inside = cookie_of(keeper.check(head("/?token=open+sesame+%26+more")))
    assert [status(keeper.check(head(f"/?token={i}"))) for i in range(12)] == [401] * 10 + [429] * 2
    late = keeper.check(head("/?token=open+sesame+%26+more"))
    assert late is not None
    assert (late.status, late.headers) == (429, (("Retry-After", "60"),))
    assert keeper.check(head(cookie=inside)) is None, "who is inside stays"
    other = head("/?token=open+sesame+%26+more")
    assert status(keeper.check(Head("GET", other.target, other.headers, "192.0.2.2"))) == 303, "others are not hindered"
    now[0] += 61
    assert status(keeper.check(head("/?token=open+sesame+%26+more"))) == 303


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_MOST_PEERS", 5)
    monkeypatch.setattr(web, "_MOST_SESSIONS", 5)
    keeper = Doorkeeper(TOKEN)
    plain = head("/?token=x")
    for i in range(20):
        keeper.check(Head("GET", "/?token=x", plain.headers, f"192.0.2.{i}"))
        keeper.check(Head("GET", "/?token=open+sesame+%26+more", plain.headers, f"198.51.100.{i}"))
    assert (len(keeper._wrong), len(keeper._sessions)) == (5, 5)


def test_the_owner_has_another_secret() -> None:
    for token in (None, TOKEN):
        keeper = Doorkeeper(token, OWNER)
        answer = keeper.check(head("/results?token=the+owner%27s+own+secret"))
        assert status(answer) == 303
        assert keeper.check(head(cookie=cookie_of(answer))) is None
        assert keeper.is_owner(head(cookie=cookie_of(answer)))
        assert not keeper.is_owner(head())
        assert status(keeper.check(head("/?token=wrong"))) == 401
    guest = cookie_of(keeper.check(head("/?token=open+sesame+%26+more")))
    answer = keeper.check(head("/?token=the+owner%27s+own+secret", cookie=guest))
    assert keeper.is_owner(head(cookie=cookie_of(answer))), "a guest may turn out to be the owner"


def test_tokens_are_long_and_not_in_the_list_of_processes(tmp_path: Path) -> None:
    for short in ("", " " * 40, "0123456789abcde", " 0123456789abcde "):
        with pytest.raises(InputError, match="a token needs at least 16 characters"):
            check_token(short)
        with pytest.raises(InputError, match="a token needs at least 16 characters"):
            Doorkeeper(short)
    with pytest.raises(InputError, match="without control characters"):
        check_token("two lines\nof some length")
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    environment = {"POSETERIOR_TOKEN": "from the environment"}
    assert find_token(True, file, environment) == TOKEN
    assert find_token(True, None, environment) == "from the environment"
    assert find_token(False, None, {}) is None
    made = {find_token(True, None, {}) for _ in range(5)}
    assert len(made) == 5
    assert min(len(token or "") for token in made) == 32
    with pytest.raises(InputError, match=r"--token-file .*none: cannot be read"):
        find_token(False, tmp_path / "none", {})
    file.write_bytes(b"\xff\xfe" * 20)
    with pytest.raises(InputError, match=r"--token-file .*token: cannot be read"):
        find_token(False, file, {})
    file.write_text("x" * 5000)
    with pytest.raises(InputError, match="is longer than a token"):
        find_token(False, file, {})
    with pytest.raises(InputError, match="POSETERIOR_TOKEN: a token needs at least 16 characters, this one has 5"):
        find_token(False, None, {"POSETERIOR_TOKEN": "short"})


def test_addresses_that_others_reach_need_a_token() -> None:
    for host in ("0.0.0.0", "192.0.2.7", "example.org", "::"):
        with pytest.raises(InputError, match="other machines can reach this address; add --token"):
            needs_token(host, None)
        needs_token(host, TOKEN)
    needs_token("::1", None)
