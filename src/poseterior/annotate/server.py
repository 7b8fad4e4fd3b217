"""The web server: routes of the annotation app and of the page on which joints are clicked.

Nothing is sent anywhere: the pages ask only this server, and their content security policy forbids anything else.
Photographs are looked up in a table by name, so that no other file can be asked for.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any
from urllib.parse import urlencode, urlsplit

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton, get_skeleton
from .clicks import ClickTarget
from .database import Annotator
from .figures import SCENES, reference_figure
from .results import summarise
from .study import Refused, Study
from .tasks import joint_title

__all__ = ["create_app", "create_click_app", "serve"]

_TOKEN_COOKIE = "poseterior_token"
_YEAR = 365 * 24 * 3600
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Session(_Body):
    name: str = ""
    resume: bool = False


class _Tutorial(_Body):
    question: int
    nearer: str | None


class _Answer(_Body):
    id: str = Field(min_length=8, max_length=64)
    task: int
    first: str
    nearer: str | None
    seconds: float | None = Field(default=None, ge=0, le=86400)


class _Undo(_Body):
    answer: str


class _Clicks(_Body):
    points: dict[str, tuple[float, float] | None]


def create_app(study: Study, token: str | None = None) -> FastAPI:
    """The annotation app: the page of questions at ``/``, the state of the study at ``/results``.

    Args:
        study: what is asked, see `poseterior.annotate.study.open_study`.
        token: who wants a page must know it: ``?token=`` once, then a cookie. None lets everybody in.
    """
    app = _guarded_app(token)
    cookie = f"poseterior_{study.key}"

    def annotator_of(request: Request) -> Annotator:
        found = study.annotator(request.cookies.get(cookie))
        if found is None:
            raise Refused(401, "Please say who you are first.")
        return found

    @app.get("/")
    def page() -> Response:
        return _page("annotate.html")

    @app.get("/results")
    def results_page() -> Response:
        return _page("results.html")

    @app.get("/photo/{name}")
    def photo(name: str) -> Response:
        if name not in study.photos:
            raise HTTPException(404)
        return FileResponse(study.photos[name])

    @app.get("/tutorial/{number}.svg")
    def tutorial_picture(number: int) -> Response:
        if not 0 <= number < len(SCENES):
            raise HTTPException(404)
        return Response(SCENES[number].svg, media_type="image/svg+xml")

    @app.get("/api/figure")
    def figure() -> dict[str, Any]:
        return _figure(study.skeleton)

    @app.get("/api/state")
    def state(request: Request) -> dict[str, Any]:
        return study.state(annotator_of(request))

    @app.post("/api/session")
    def begin(body: _Session, response: Response) -> dict[str, Any]:
        annotator = study.begin(body.name, body.resume)
        response.set_cookie(cookie, annotator.key, max_age=_YEAR, httponly=True, samesite="strict")
        return study.state(annotator)

    @app.post("/api/leave")
    def leave(response: Response) -> dict[str, Any]:
        response.delete_cookie(cookie)
        return {}

    @app.post("/api/tutorial")
    def tutorial(body: _Tutorial, request: Request) -> dict[str, Any]:
        return study.answer_tutorial(annotator_of(request), body.question, body.nearer)

    @app.post("/api/answer")
    def answer(body: _Answer, request: Request) -> dict[str, Any]:
        return study.answer(annotator_of(request), body.id, body.task, body.first, body.nearer, body.seconds)

    @app.post("/api/undo")
    def undo(body: _Undo, request: Request) -> dict[str, Any]:
        return study.undo(annotator_of(request), body.answer)

    @app.get("/api/results")
    def results() -> dict[str, Any]:
        return summarise(study)

    return app


def create_click_app(target: ClickTarget, token: str | None = None) -> FastAPI:
    """The page on which one clicks a person's joints; saving writes the keypoint file.

    Args:
        target: photograph, skeleton and file, see `ClickTarget`.
        token: as for `create_app`.
    """
    app = _guarded_app(token)

    @app.get("/")
    def page() -> Response:
        return _page("click.html")

    @app.get("/photo")
    def photo() -> Response:
        return FileResponse(target.photo)

    @app.get("/api/figure")
    def figure() -> dict[str, Any]:
        return _figure(target.skeleton)

    @app.get("/api/click")
    def start() -> dict[str, Any]:
        return {
            "photo": target.photo.name,
            "size": target.size,
            "out": str(target.out),
            "joints": [{"name": joint, "title": joint_title(joint)} for joint in target.skeleton.joints],
            "points": target.load(),
        }

    @app.post("/api/click")
    def save(body: _Clicks) -> dict[str, Any]:
        target.save(body.points)
        return {"command": target.next_command}

    return app


def _figure(skeleton: Skeleton) -> dict[str, Any]:
    """The reference picture: places of the joints, and the bones between them."""
    bones = [(skeleton.joints[child], skeleton.joints[parent]) for child, parent in skeleton.bones]
    body = reference_figure(get_skeleton("smpl22"))
    return {"places": reference_figure(skeleton), "bones": bones, "body": body}


def _page(name: str) -> Response:
    text = (resources.files("poseterior.annotate") / "static" / name).read_text(encoding="utf-8")
    return Response(text, media_type="text/html")


# -- what guards every route ------------------------------------------------------------------------------


def _guarded_app(token: str | None) -> FastAPI:
    """An app with the static files, readable errors, and checks on every request."""
    app = FastAPI(title="poseterior annotate", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        response = _refuse(request, token) or await proceed(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(Refused)
    def refused(_: Request, error: Refused) -> Response:
        return JSONResponse({"error": error.message}, error.status)

    @app.exception_handler(InputError)
    def wrong_input(_: Request, error: InputError) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return JSONResponse({"error": f"{field}: {first['msg']}"}, 422)

    with resources.as_file(resources.files("poseterior.annotate") / "static") as folder:
        app.mount("/static", StaticFiles(directory=folder))
    return app


def _refuse(request: Request, token: str | None) -> Response | None:
    """The answer to a request that is not let in, or that comes in with the token in its address; else None."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return JSONResponse({"error": "Requests from other web pages are refused."}, 403)
    if token is None:
        # Another page may have its own name resolve to this machine; then the request names a stranger.
        if not _is_loopback(urlsplit(f"//{request.headers.get('host', '')}").hostname or ""):
            return JSONResponse({"error": "This server can be asked as 127.0.0.1 or localhost only."}, 403)
        return None
    given = request.query_params.get("token")
    if not _same(given or request.cookies.get(_TOKEN_COOKIE, ""), token):
        return JSONResponse({"error": "The address needs the token: open ...?token=TOKEN"}, 401)
    if given is None or request.method != "GET":
        return None
    rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
    response = RedirectResponse(request.url.path + (f"?{rest}" if rest else ""), 303)
    # "lax": "strict" would not be sent along the redirect of somebody who follows a link in a message
    response.set_cookie(_TOKEN_COOKIE, token, max_age=_YEAR, httponly=True, samesite="lax")
    return response


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# -- running ----------------------------------------------------------------------------------------------


def serve(
    make_app: Callable[[], FastAPI], host: str, port: int, token: str | None, ready: Callable[[str], None]
) -> None:
    """Serve an app until Ctrl-C.

    Args:
        make_app: makes the app, once the address is known to be usable.
        host: address to listen on.
        port: 0 for any that is free.
        token: shown in the address; needed for an address that other machines reach.
        ready: called with the address when it can be opened.

    Raises:
        InputError: no token for an address that other machines reach, or an address or port that cannot be used.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port: expected 0 to 65535, got {port}")
    if token is not None and not token.strip():
        raise InputError("--token: is empty; give a long random text")
    if token is None and not _is_loopback(host):
        raise InputError(f"--host {host}: other machines can reach this address; set a secret with --token TEXT")
    listener = _listen(host, port)
    with contextlib.closing(listener):
        app = make_app()
        number = listener.getsockname()[1]
        query = f"?{urlencode({'token': token})}" if token else ""
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
        ready(f"http://{f'[{host}]' if ':' in host else host}:{number}/{query}")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(
            f"cannot listen on {host} port {port} ({error}); choose another --port, or 127.0.0.1"
        ) from None
    return listener
