"""The web server: routes of the annotation app and of the page on which joints are clicked.

Nothing is sent anywhere: the pages ask only this server, and their content security policy forbids anything else.
Photographs are looked up in a table by name, so that no other file can be asked for.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton, get_skeleton
from ..web import Doorkeeper, address, check_token, needs_token
from .clicks import ClickTarget
from .database import Annotator, database_trouble
from .door import Door, head_of
from .figures import SCENES, reference_figure
from .results import summarise
from .study import Refused, Study
from .tasks import joint_title

__all__ = ["create_app", "create_click_app", "serve"]

#: Makes what to open from a secret (or None) and a path.
Address = Callable[..., str]

_YEAR = 365 * 24 * 3600
#: More at a time are told to come again, which the pages do.
_MOST_CONNECTIONS = 1000


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Session(_Body):
    name: str = ""
    code: str | None = Field(default=None, max_length=100)


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


def create_app(study: Study, token: str | None = None, owner: str | None = None) -> FastAPI:
    """The annotation app: the page of questions at ``/``, the state of the study at ``/results``.

    Args:
        study: what is asked, see `poseterior.annotate.study.open_study`.
        token: who wants a page must know it: ``?token=`` once, then a cookie. None lets everybody on this machine in.
        owner: a second secret, given in the same way: who knows it sees names and qualities at ``/results``, others
            see sums only.
    """
    keeper = Doorkeeper(token, owner)
    app = _app_behind(keeper)
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
        return _photo(study.photos[name])

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
    def begin(body: _Session, request: Request, response: Response) -> dict[str, Any]:
        peer = request.client.host if request.client else ""
        if body.code is not None:
            late = keeper.may_guess(peer)
            if late is not None:
                raise Refused(late.status, late.message)
        try:
            annotator, code = study.begin(body.name, body.code or request.cookies.get(cookie))
        except Refused as error:
            if error.status == 409 and body.code is not None:
                keeper.guessed_wrong(peer)
                raise Refused(409, "This is not the code of that name.") from None
            raise
        response.set_cookie(cookie, code, max_age=_YEAR, httponly=True, samesite="strict")
        return study.state(annotator)

    @app.get("/api/code")
    def code(request: Request) -> dict[str, Any]:
        """What lets an annotator go on in another browser."""
        return {"name": annotator_of(request).name, "code": request.cookies.get(cookie)}

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
    def results(request: Request) -> dict[str, Any]:
        return summarise(study, keeper.is_owner(head_of(request.scope)))

    return app


def create_click_app(target: ClickTarget, token: str | None = None) -> FastAPI:
    """The page on which one clicks a person's joints; saving writes the keypoint file.

    Args:
        target: photograph, skeleton and file, see `ClickTarget`.
        token: as for `create_app`.
    """
    app = _app_behind(Doorkeeper(token))

    @app.get("/")
    def page() -> Response:
        return _page("click.html")

    @app.get("/photo")
    def photo() -> Response:
        return _photo(target.photo)

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
        return {"command": target.next_command, "points": target.load()}

    return app


def _figure(skeleton: Skeleton) -> dict[str, Any]:
    """The reference picture: places of the joints, and the bones between them."""
    bones = [(skeleton.joints[child], skeleton.joints[parent]) for child, parent in skeleton.bones]
    body = reference_figure(get_skeleton("smpl22"))
    return {"places": reference_figure(skeleton), "bones": bones, "body": body}


def _photo(path: Path) -> Response:
    if not path.is_file():
        raise Refused(404, f"{path.name}: the photograph is no longer there.")
    return FileResponse(path)


def _page(name: str) -> Response:
    text = (resources.files("poseterior.annotate") / "static" / name).read_text(encoding="utf-8")
    return Response(text, media_type="text/html")


# -- what every app has -----------------------------------------------------------------------------------


def _app_behind(keeper: Doorkeeper) -> FastAPI:
    """An app with the static files and readable errors, behind a `Door`."""
    app = FastAPI(title="poseterior annotate", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(Door, keeper=keeper)

    @app.exception_handler(Refused)
    def refused(_: Request, error: Refused) -> Response:
        return JSONResponse({"error": error.message}, error.status)

    @app.exception_handler(InputError)
    def wrong_input(_: Request, error: InputError) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(DBAPIError)
    def no_database(_: Request, error: DBAPIError) -> Response:
        # the page asks again
        return JSONResponse({"error": f"The answer is not stored yet: {database_trouble(error)}."}, 503)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return JSONResponse({"error": f"{field[:100]}: {first['msg']}"}, 422)

    with resources.as_file(resources.files("poseterior.annotate") / "static") as folder:
        app.mount("/static", StaticFiles(directory=folder))
    return app


# -- running ----------------------------------------------------------------------------------------------


def serve(
    make_app: Callable[[], FastAPI], host: str, port: int, token: str | None, ready: Callable[[Address], None]
) -> None:
    """Serve an app until Ctrl-C.

    Args:
        make_app: makes the app, once the address is known to be usable.
        host: address to listen on.
        port: 0 for any that is free.
        token: needed for an address that other machines reach.
        ready: called when the pages can be opened, with a function that makes the address of one from a secret (or
            None) and a path.

    Raises:
        InputError: no token for an address that other machines reach, one of fewer than 16 characters, or an address
            or port that cannot be used.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port: expected 0 to 65535, got {port}")
    needs_token(host, token if token is None else check_token(token))
    listener = _listen(host, port)
    with contextlib.closing(listener):
        app = make_app()
        number = listener.getsockname()[1]
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=3, ws="none", proxy_headers=False,
            server_header=False, limit_concurrency=_MOST_CONNECTIONS,
        )  # fmt: skip
        ready(lambda secret, path="": address(host, number, secret, path))
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
