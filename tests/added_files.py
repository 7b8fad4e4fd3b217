"""The files that CONTRIBUTING shows how to add, in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "poseterior"


def shown_files() -> dict[str, str]:
    """Path -> content of every block of CONTRIBUTING that begins with the comment of a path."""
    blocks = re.findall(r"```\w+\n# (\S+)\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    return dict(blocks)


class Copy:
    """A copy of the package in ``folder``, with files of CONTRIBUTING added and nothing else changed."""

    def __init__(self, folder: Path, *paths: str) -> None:
        self.folder, self.source = folder, folder / "src"
        target = self.source / PACKAGE.name
        shutil.copytree(PACKAGE, target, ignore=lambda _, names: {"__pycache__", "weights"} & set(names))
        (target / "weights").symlink_to(PACKAGE / "weights")
        shown = shown_files()
        for path in paths:
            added = folder / path
            assert not added.exists(), f"{path} is there already: show another one in CONTRIBUTING"
            added.write_text(shown[path])

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python on the copy, from its folder."""
        environment = os.environ | {"PYTHONPATH": str(self.source), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=self.folder)

    def run(self, *arguments: str) -> str:
        """Run a command of poseterior that must succeed; returns what it printed."""
        done = self.python("-m", "poseterior", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lint(self, *paths: str) -> None:
        """The added files are as tidy as those that are here."""
        for command in (["check"], ["format", "--check"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, "--config", str(ROOT / "pyproject.toml"), *paths],
                capture_output=True, text=True, cwd=self.folder,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
