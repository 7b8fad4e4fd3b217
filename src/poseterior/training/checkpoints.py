"""Checkpoints of a run: written whole or not at all, and the newest good one found again."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from ..files.errors import InputError
from ..files.writing import atomic_write, make_folder

__all__ = ["WholeCheckpoints", "newest_checkpoint", "read_step"]


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    Lightning's own writer does so in the system's temporary folder, from where it is copied if that is another file
    system: a run that is killed in the copy leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            InputError: it cannot be written; what stood there is still there.
        """
        content = io.BytesIO()  # torch's own errors do not say that the disk is full
        torch.save(checkpoint, content)
        make_folder(Path(path).parent)
        with atomic_write(path) as file:
            file.write(content.getbuffer())


def read_step(checkpoint: Path) -> int:
    """The step that a checkpoint was written at.

    Raises:
        InputError: it cannot be read, from its begin to its end.
    """
    try:
        return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])
    except Exception as error:  # torch raises many kinds for a broken file
        reason = str(error).splitlines()[0].partition(". ")[0][:200] if str(error) else type(error).__name__
        raise InputError(f"{checkpoint}: not a readable checkpoint ({reason}); start anew in another folder") from None


def newest_checkpoint(folder: Path, quiet: bool = False) -> Path | None:
    """The readable checkpoint of the most steps, None where there is no file of one.

    Says on standard error which ones are not readable, and which is taken instead.

    Args:
        folder: where the checkpoints (``*.ckpt``) are.
        quiet: say nothing.

    Raises:
        InputError: there are files, but none can be read.
    """
    steps: dict[Path, int] = {}
    broken: list[InputError] = []
    # of equal ones the one that is always written last
    for path in sorted(folder.glob("*.ckpt"), key=lambda path: (path.name != "last.ckpt", path.name)):
        try:
            steps[path] = read_step(path)
        except InputError as error:
            broken.append(error)
    if not steps:
        if broken:
            raise broken[0]
        return None
    newest = max(steps, key=lambda path: steps[path])
    if broken and not quiet:
        reasons = "; ".join(str(error).rpartition(";")[0] for error in broken)
        print(f"{reasons}; going on from {newest.name} at step {steps[newest]}", file=sys.stderr)
    return newest
