"""The web app that collects depth-order labels from people, and the page on which joints are clicked.

`photos` matches photographs and keypoints, `tasks` says what is asked and in which order, `database` keeps it,
`study` hands out questions and takes answers, `results` sums them up, `server` puts it on the web.
Needs the packages of the extra ``annotate``.
"""

from __future__ import annotations

from ..files.extras import need

__all__ = ["check_installed"]


def check_installed() -> None:
    """Make sure that the optional packages of the app are there.

    Raises:
        InputError: one is missing; the message says how to install them.
    """
    for package in ("fastapi", "uvicorn", "sqlalchemy"):
        need("annotate", package, "the annotation page")
