"""The web app that collects depth-order labels from people, and the page on which joints are clicked.

`photos` matches photographs and keypoints, `tasks` says what is asked and in which order, `database` keeps it,
`study` hands out questions and takes answers, `results` sums them up, `server` puts it on the web.
Needs the packages of the extra ``annotate``.
"""

from __future__ import annotations

from importlib.util import find_spec

from ..files.errors import InputError

__all__ = ["check_installed"]


def check_installed() -> None:
    """Make sure that the optional packages of the app are there.

    Raises:
        InputError: one is missing; the message says how to install them.
    """
    for package in ("fastapi", "uvicorn", "sqlalchemy"):
        if find_spec(package) is None:
            raise InputError(f"the annotation page needs {package}: pip install 'poseterior[annotate]'")
