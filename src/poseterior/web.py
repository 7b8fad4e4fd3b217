"""Who may ask a local web server, decided from the head of a request alone, before its body or a handshake.

A page that the user has open elsewhere can send requests to this machine: it names itself in ``Origin`` (or says so in
``Sec-Fetch-Site``), or has its own name resolve to this machine and so names a stranger in ``Host``. Both are refused.
Where other machines may ask, or where only the owner may see something, a secret in the address is exchanged for a
random cookie of this run; wrong secrets are counted, and soon refused unread.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from .files.errors import InputError

__all__ = [
    "HEADERS",
    "SHORTEST_TOKEN",
    "TOKEN_VARIABLE",
    "Answer",
    "Doorkeeper",
    "Head",
    "address",
    "check_token",
    "find_token",
    "is_loopback",
    "needs_token",
]

#: Environment variable that holds the token.
TOKEN_VARIABLE = "POSETERIOR_TOKEN"
#: Characters that a token has at least.
SHORTEST_TOKEN = 16
#: Every answer has these: no page elsewhere may frame it or take in what it says.
HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

#: So many wrong secrets of one address are taken in so many seconds.
_GUESSES = 10
_GUESS_SECONDS = 60.0
#: Addresses whose guesses, and sessions, that are remembered.
_MOST_PEERS = 10_000
_MOST_SESSIONS = 10_000
_COOKIE_SECONDS = 30 * 24 * 3600
_HOST = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?)(?::(?P<port>[0-9]{1,5}))?"
)
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?P<host>[^/?#@\s]+)")
_TARGET = re.compile(r"/[\x21-\x7e]*")


@dataclass(frozen=True)
class Head:
    """Head of a request.

    Attributes:
        method: GET, POST ...
        target: path and query as they were sent.
        headers: names in lower case, and values, in order.
        peer: address of who asks.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    peer: str = ""

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True)
class Answer:
    """What a request gets that is not let in, or is sent to another address.

    Attributes:
        status: of HTTP.
        message: for people.
        headers: besides `HEADERS`.
    """

    status: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class Doorkeeper:
    """Decides about requests; safe to call from several threads.

    Args:
        token: who asks must know it: ``?token=`` once, then a cookie. None: the names of this machine only are let in.
        owner: a second secret, given in the same way, that says that the owner asks.

    Raises:
        InputError: a secret that `check_token` refuses.
    """

    def __init__(self, token: str | None = None, owner: str | None = None) -> None:
        self._token = None if token is None else check_token(token)
        self._owner = None if owner is None else check_token(owner)
        #: Random, because cookies do not tell the ports of one machine apart.
        self._cookie = f"poseterior_{secrets.token_hex(4)}"
        self._sessions: dict[str, bool] = {}  # session -> is the owner's
        self._wrong: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def check(self, head: Head) -> Answer | None:
        """The answer to a request that is not let in, or that brings a secret in its address; None lets it in."""
        refused = _malformed(head) or _foreign(head)
        if refused is not None:
            return refused
        name = _host_name(head.values("host")[0])
        if self._token is None and not is_loopback(name):
            # another page may have its own name resolve to this machine; then the request names a stranger
            return Answer(403, "This server can be asked as 127.0.0.1 or localhost only.")
        path, query = _parts(head.target)
        given = [value for key, value in query if key == "token"]
        role = self._role(head)
        if not given:
            if role is None and self._token is not None:
                return Answer(401, "The address needs the token: open the one that was printed, ...?token=TOKEN")
            return None
        if role is not True:  # the owner's cookie stays; a guest may become the owner
            is_owner = self._judge(given[0], head.peer)
            if isinstance(is_owner, Answer):
                return is_owner
            if is_owner is not None and (role is None or is_owner):
                return self._let_in(head, path, query, is_owner)
        return None if head.method not in ("GET", "HEAD") else _redirect(path, query)

    def is_owner(self, head: Head) -> bool:
        """Whether a request that was let in is the owner's."""
        return self._role(head) is True

    def may_guess(self, peer: str) -> Answer | None:
        """The answer to somebody who gave too many wrong secrets lately; None where one more is looked at."""
        with self._lock:
            wrong = self._wrong.get(peer, deque())
            oldest = time.monotonic() - _GUESS_SECONDS
            while wrong and wrong[0] < oldest:
                wrong.popleft()
            if len(wrong) < _GUESSES:
                return None
            wait = max(1, round(wrong[0] - oldest))
        return Answer(429, f"Too many wrong secrets: try again in {wait} s.", (("Retry-After", str(wait)),))

    def guessed_wrong(self, peer: str) -> None:
        """Count a wrong secret."""
        with self._lock:
            if peer not in self._wrong and len(self._wrong) >= _MOST_PEERS:
                del self._wrong[next(iter(self._wrong))]
            self._wrong.setdefault(peer, deque(maxlen=_GUESSES)).append(time.monotonic())

    def _judge(self, secret: str, peer: str) -> bool | Answer | None:
        """Whether a secret is the owner's (True) or the token (False); None where none is asked for."""
        if self._token is None and self._owner is None:
            return None
        late = self.may_guess(peer)
        if late is not None:
            return late
        if self._owner is not None and _same(secret, self._owner):
            return True
        if self._token is not None and _same(secret, self._token):
            return False
        self.guessed_wrong(peer)
        return Answer(401, "This is not the token: open the address that was printed.")

    def _let_in(self, head: Head, path: str, query: list[tuple[str, str]], is_owner: bool) -> Answer | None:
        if head.method not in ("GET", "HEAD"):
            return None
        session = secrets.token_urlsafe(32)
        with self._lock:
            if len(self._sessions) >= _MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[session] = is_owner
        # "Lax": "Strict" would not be sent along the redirect of somebody who follows a link in a message
        cookie = f"{self._cookie}={session}; Path=/; HttpOnly; SameSite=Lax; Max-Age={_COOKIE_SECONDS}"
        return _redirect(path, query, (("Set-Cookie", cookie),))

    def _role(self, head: Head) -> bool | None:
        """True: the owner's cookie, False: somebody's who knew the token, None: no cookie."""
        for line in head.values("cookie"):
            try:
                found = SimpleCookie(line).get(self._cookie)
            except CookieError:
                continue
            if found is not None:
                with self._lock:
                    return self._sessions.get(found.value)
        return None


def _malformed(head: Head) -> Answer | None:
    if not _TARGET.fullmatch(head.target):
        return Answer(400, "The address of the request cannot be read.")
    hosts, origins = head.values("host"), head.values("origin")
    if len(hosts) != 1 or not _is_host(hosts[0]):
        return Answer(400, "Host: expected one name or address, with a port or without.")
    if len(origins) > 1 or any(origin != "null" and _origin_host(origin) is None for origin in origins):
        return Answer(400, "Origin: expected one address such as http://127.0.0.1:8080.")
    return None


def _foreign(head: Head) -> Answer | None:
    """Requests that pages elsewhere make, as the browser says."""
    refused = Answer(403, "Requests from other web pages are refused.")
    host = head.values("host")[0].lower()
    if any(origin == "null" or (_origin_host(origin) or "").lower() != host for origin in head.values("origin")):
        return refused
    site = (head.values("sec-fetch-site") or ["none"])[0]
    if site in ("cross-site", "same-site"):
        # a link that somebody follows is no harm, what a page there loads or frames is
        mode, into = ((head.values(f"sec-fetch-{name}") or [""])[0] for name in ("mode", "dest"))
        if mode != "navigate" or into != "document":
            return refused
    return None


def _is_host(host: str) -> bool:
    found = _HOST.fullmatch(host)
    if found is None or int(found["port"] or 0) > 65535:
        return False
    if found["name"].startswith("["):
        try:
            ipaddress.IPv6Address(found["name"][1:-1])
        except ValueError:
            return False
    return True


def _host_name(host: str) -> str:
    """The name in a host that `_is_host` knows, without port and brackets."""
    found = _HOST.fullmatch(host)
    return found["name"].strip("[]") if found else ""


def _origin_host(origin: str) -> str | None:
    found = _ORIGIN.fullmatch(origin)
    return found["host"] if found is not None and _is_host(found["host"]) else None


def _parts(target: str) -> tuple[str, list[tuple[str, str]]]:
    path, _, query = target.partition("?")
    return path, parse_qsl(query, keep_blank_values=True, errors="replace")


def _redirect(path: str, query: Iterable[tuple[str, str]], headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """To the same address without the secret; "//name" and "/\\name" would be addresses of another host."""
    rest = urlencode([(key, value) for key, value in query if key != "token"])
    location = "/" + path.lstrip("/\\") + (f"?{rest}" if rest else "")
    return Answer(303, "", (("Location", location), *headers))


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode("utf-8", "surrogatepass"))


# -- addresses and tokens ---------------------------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Whether only this machine can ask a server that listens there.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    if host.lower() in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(host: str, port: int, token: str | None = None, path: str = "") -> str:
    """What to open in a browser.

    >>> address("::1", 8080, "a secret", "results")
    'http://[::1]:8080/results?token=a+secret'
    """
    query = f"?{urlencode({'token': token})}" if token else ""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/{path}{query}"


def check_token(token: str, where: str = "--token") -> str:
    """The token without space around it.

    Raises:
        InputError: it is shorter than `SHORTEST_TOKEN`, or holds what cannot stand in an address.
    """
    token = token.strip()
    if len(token) < SHORTEST_TOKEN:
        raise InputError(
            f"{where}: a token needs at least {SHORTEST_TOKEN} characters, this one has {len(token)}; "
            "give a long random text, or leave it to --token, which makes one up"
        )
    if not token.isprintable():
        raise InputError(f"{where}: a token is one line of text without control characters")
    return token


def find_token(make: bool, file: Path | None, environment: Mapping[str, str] | None = None) -> str | None:
    """The token of a command: that of the file, else of the environment, else one that is made up, else none.

    Not from the command line itself, which every user of the machine can read in the list of processes.

    Args:
        make: make one up where none is given (``--token``).
        file: ``--token-file``.
        environment: default `os.environ`.

    Raises:
        InputError: an unreadable file, or a token that `check_token` refuses.
    """
    if file is not None:
        try:
            with open(file, encoding="utf-8") as stream:
                text = stream.read(4097)
        except (OSError, ValueError) as error:
            raise InputError(f"--token-file {file}: cannot be read ({error}); give a text file of one line") from None
        if len(text) > 4096:
            raise InputError(f"--token-file {file}: is longer than a token; give a text file of one line")
        return check_token(text, f"--token-file {file}")
    given = (os.environ if environment is None else environment).get(TOKEN_VARIABLE)
    if given is not None:
        return check_token(given, TOKEN_VARIABLE)
    return secrets.token_urlsafe(24) if make else None


def needs_token(host: str, token: str | None) -> None:
    """Refuse an address that other machines reach where there is no token.

    Raises:
        InputError: there is none.
    """
    if token is None and not is_loopback(host):
        raise InputError(
            f"--host {host}: other machines can reach this address; add --token (it makes up a secret), or give one "
            f"with --token-file FILE or in {TOKEN_VARIABLE}"
        )
