"""viser's web server behind a door: it lets in no other page, shares nothing, and is quiet.

viser answers every ``Origin`` and every ``Host``, opens a public tunnel for whoever asks for it, and has no hook before
the handshake; so its call of ``websockets``' ``serve`` is given one. Where that cannot be done, there is no server.
"""

from __future__ import annotations

import contextlib
import http
import io
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..files.errors import InputError
from ..web import HEADERS, Answer, Doorkeeper, Head

if TYPE_CHECKING:
    from viser import ViserServer

__all__ = ["start_server", "stop_server"]

Check = Callable[[Head], Answer | None]

_patching = threading.Lock()


def start_server(host: str, port: int, label: str, check: Check | None = None) -> ViserServer:
    """A quiet viser server that lets in whom ``check`` does, and cannot be shared.

    Args:
        host: address to listen on.
        port: wished port; the next free one is taken (0: any).
        label: title of the panel.
        check: the answer to a request that is not let in; default: pages of this server by the names of this machine,
            see `poseterior.web.Doorkeeper`.

    Raises:
        InputError: the address cannot be used, or the installed viser cannot be guarded.
    """
    # viser would try a thousand ports in turn for a host that does not exist, and then wait for ever
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((host, 0))
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen on {host!r} ({error}); use 127.0.0.1") from None
    # its banner would get between the lines that our caller prints
    with _guarded(check or Doorkeeper().check) as guarded, contextlib.redirect_stdout(io.StringIO()):
        server = _closed_server_class()(host=host, port=port, label=label, verbose=False)
    if not guarded:
        import viser

        stop_server(server)
        raise InputError(f"the viewer cannot be guarded with viser {viser.__version__}: pip install 'viser>=1.1,<1.2'")
    server.gui.configure_theme(show_logo=False, show_share_button=False)
    return server


def stop_server(server: ViserServer) -> None:
    """Stop it without its last words, which would get between the lines that our caller prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()


def _closed_server_class() -> type[ViserServer]:
    import viser

    class ClosedServer(viser.ViserServer):
        """A server that cannot be reached by way of somebody else's: a client's request to share does nothing."""

        def request_share_url(self, verbose: bool = True) -> str | None:
            return None

        def disconnect_share_url(self) -> None:
            return None

    return ClosedServer


@contextlib.contextmanager
def _guarded(check: Check) -> Iterator[list[bool]]:
    """While this lasts, a viser server that starts asks ``check`` about every request; the list says that one did."""
    from viser.infra import _infra

    guarded: list[bool] = []
    with _patching:
        original: Any = _infra.websockets  # the library, as viser knows it

        def serve(handler: Any, host: str, port: int, **options: Any) -> Any:
            guarded.append(True)
            options["process_request"] = _first(check, options.get("process_request"))
            return original.asyncio.server.serve(handler, host, port, **options)

        stand_in: Any = SimpleNamespace(
            asyncio=SimpleNamespace(server=SimpleNamespace(serve=serve)),
            datastructures=original.datastructures,
            exceptions=original.exceptions,
        )
        _infra.websockets = stand_in
        try:
            yield guarded
        finally:
            _infra.websockets = original


def _first(check: Check, then: Any) -> Callable[[Any, Any], Any]:
    """A hook of websockets that asks ``check`` before the handshake and before a file is given out."""
    from viser.infra import _infra

    def process_request(connection: Any, request: Any) -> Any:
        headers = tuple((name.lower(), value) for name, value in request.headers.raw_items())
        peer = connection.remote_address
        answer = check(Head("GET", request.path, headers, str(peer[0]) if peer else ""))
        if answer is not None:
            body = answer.message.encode()
            told = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
            response: Any = _infra.Response(
                answer.status, http.HTTPStatus(answer.status).phrase, _infra.Headers([*told, *answer.headers]), body
            )
        else:
            response = None if then is None else then(connection, request)
        if response is not None:
            for name, value in HEADERS.items():
                response.headers[name] = value
        return response

    return process_request
