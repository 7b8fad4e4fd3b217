"""An earlier build to measure beside this one."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ROOT", "earlier_build"]

#: The checkout.
ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def earlier_build(commit: str) -> Iterator[Path]:
    """The ``src`` folder of a commit, checked out beside this one for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(place), commit], check=True)
        try:
            yield place / "src"
        finally:
            subprocess.run([*git, "remove", "--force", str(place)], check=True)
