"""What stands before the app: who may ask, how large a request may be, and what its text may hold."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..web import HEADERS, Answer, Doorkeeper, Head

__all__ = ["LARGEST_BODY", "Door", "head_of"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: Bytes of a request's body: what the pages send is far below.
LARGEST_BODY = 64 * 1024
#: Of a body that is too large so much is still taken in and thrown away, so that its sender reads the answer.
_DISCARDED = 64 * 1024 * 1024
#: Seconds in which a body must have come.
_BODY_SECONDS = 30.0
_MORE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'",
}
_TOO_LARGE = Answer(413, f"The request is too large: at most {LARGEST_BODY // 1024} kB are taken.")


class Door:
    """ASGI middleware: asks the doorkeeper about the head, then takes in the body up to `LARGEST_BODY`.

    Args:
        app: who answers what is let in.
        keeper: see `poseterior.web.Doorkeeper`.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], keeper: Doorkeeper) -> None:
        self.app, self.keeper = app, keeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # no websockets here: the server refuses the handshake
        refused = self.keeper.check(head_of(scope))
        if refused is not None:
            await _answer(refused, send)
            return
        size = dict(scope["headers"]).get(b"content-length", b"0")
        if not size.isdigit():
            await _answer(Answer(400, "Content-Length: expected a number of bytes."), send)
            return
        body = _Body(receive)
        whole = _TOO_LARGE if int(size) > LARGEST_BODY else await body.read()
        if isinstance(whole, bytes):
            whole = _wrong_text(whole) or whole
        if isinstance(whole, Answer):
            await _answer(whole, send, body)
            return
        await self.app(scope, _replay(whole, receive), _with_headers(send))


def head_of(scope: Scope) -> Head:
    """The head of a request as the doorkeeper wants it."""
    target = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    client = scope.get("client")
    return Head(scope["method"], target.decode("latin-1"), headers, client[0] if client else "")


class _Body:
    """The body of one request, piece by piece."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.complete = False

    async def read(self) -> bytes | Answer:
        """All of it, or why it is not taken."""
        try:
            return await asyncio.wait_for(self._take_in(), _BODY_SECONDS)
        except asyncio.TimeoutError:
            return Answer(408, "The request took too long.")

    async def throw_away(self) -> None:
        """Take in what still comes, up to `_DISCARDED`."""

        async def discard() -> None:
            size = 0
            while not self.complete and size < _DISCARDED:
                size += len(await self._piece())

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(discard(), _BODY_SECONDS)

    async def _take_in(self) -> bytes | Answer:
        parts: list[bytes] = []
        size = 0
        while not self.complete:
            parts.append(await self._piece())
            size += len(parts[-1])
            if size > LARGEST_BODY:
                return _TOO_LARGE
        return b"".join(parts)

    async def _piece(self) -> bytes:
        message = await self._receive()
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        return bytes(message.get("body", b""))


def _wrong_text(body: bytes) -> Answer | None:
    """Bodies whose text no database and no answer can hold: not UTF-8, or halves of a character ("\\ud800")."""
    if not body:
        return None
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return Answer(400, "The request is not UTF-8 text.")
    if "\\ud" not in text.lower():
        return None
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return Answer(400, "The request holds half a character (a lone surrogate).")
    except (ValueError, RecursionError):
        return None  # no JSON: the app says so
    return None


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that was taken in, then what the server says."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            ours = {name.lower().encode(): value.encode() for name, value in (HEADERS | _MORE_HEADERS).items()}
            missing = [(name, value) for name, value in ours.items() if name not in there]
            message = {**message, "headers": [*message.get("headers", ()), *missing]}
        await send(message)

    return told


async def _answer(answer: Answer, send: Send, body: _Body | None = None) -> None:
    """Send it, and throw away what still comes of the request: a sender who is cut off sees no answer."""
    content = json.dumps({"error": answer.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    unread = body is not None and not body.complete
    if unread:
        headers.append((b"connection", b"close"))
    send = _with_headers(send)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": unread})
    if body is not None and unread:
        await body.throw_away()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
