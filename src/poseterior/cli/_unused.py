"""Options of `poseterior lift` that nothing of what is written would show."""

from __future__ import annotations

from pathlib import Path

__all__ = ["check_json_samples", "check_shown"]


def check_json_samples(asked: bool, out: Path | None, samples: int) -> None:
    """Refuse samples of a .json that is not written, or that has none.

    Raises:
        InputError: says what holds them.
    """
    from ..files.errors import InputError

    if not asked:
        return
    name = "" if out is None else out.name.lower()
    if not name.endswith(".json") or name.endswith(".coco.json"):
        held = ", whose samples are always in it" if name.endswith((".parquet", ".npz")) else ""
        given = "nothing" if out is None else f"{out}{held}"
        raise InputError(f"--json-samples: is for a .json result; add --out poses.json, not {given}")
    if samples == 0:
        raise InputError("--json-samples: there are none with --samples 0; leave one of the two out")


def check_shown(how: str | None, count: int, motions: bool, drawn: bool = False) -> None:
    """Refuse a choice of hypotheses that nothing shows.

    Args:
        how, count: of the options.
        motions: whether a motion is written.
        drawn: whether a picture shows ``how``: that of a lifter with rotations.

    Raises:
        InputError: names the option, and what shows it.
    """
    from ..files.errors import InputError

    if motions:
        return
    if count != 1:
        raise InputError(f"--count {count}: is for motion files; add --out clip.bvh")
    if how is not None and not drawn:
        raise InputError(f"--how {how}: is for motion files; add --out clip.bvh")
