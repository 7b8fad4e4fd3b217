"""What `poseterior data leaks` does and prints."""

from __future__ import annotations

from pathlib import Path

#: Frames a second that are enough to find ten poses a second between them.
_FPS = 60.0
#: Clips that a message names.
_NAMED = 5


def check_leaks(train: Path, test: Path, people: bool, show: int) -> None:
    """Print the nearest sequences of two stores.

    Raises:
        InputError: a motion (or with ``people`` a person) of both, or what cannot be compared.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from ..data.mocap.nearest import SAME_MOTION, STILL, nearest_motions, same_people
    from ..data.store import PoseStore
    from ..files.errors import InputError

    if show < 0:
        raise InputError(f"--show: expected at least 0, got {show}")
    known, asked = (PoseStore(path).load(fps=_FPS) for path in (train, test))
    matches = nearest_motions(known, asked)
    table = Table(title=f"{test} against {train}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("clip", "nearest clip", "difference (mm)", "movement (mm)", "difference / movement"):
        table.add_column(heading, justify="left" if heading.endswith("clip") else "right")
    for match in matches[:show]:
        mirrored = ", mirrored" if match.mirrored else ""
        ends = (f"{match.clip} at {match.start:.2f} s", f"{match.other} at {match.other_start:.2f} s{mirrored}")
        table.add_row(*ends, f"{match.distance:.1f}", f"{match.motion:.0f}", f"{match.ratio:.3f}")
    console = Console()
    # Where nobody looks at a screen, no column has to be cut.
    Console(width=console.width if console.is_terminal else 120).print(table)
    silent = len(asked.clip_names) - len(matches)
    if silent:
        print(
            f"{silent} of {len(asked.clip_names)} clips say nothing: shorter than a second, or they move < {STILL:g} mm"
        )
    both = same_people(known, asked)
    for first, second in both:
        print(f"one person: {second} of {test} has the name or the bones of {first} of {train}")
    shared = [match for match in matches if match.ratio < SAME_MOTION]
    if shared:
        pairs = ", ".join(f"{match.clip} ({match.other})" for match in shared[:_NAMED])
        more = f" and {len(shared) - _NAMED} more" if len(shared) > _NAMED else ""
        raise InputError(
            f"{test}: {len(shared)} of its clips are also in {train}: {pairs}{more}; "
            "leave them out of one of the stores"
        )
    if people and both:
        raise InputError(
            f"{test}: {len(both)} of its people are also in {train}: {', '.join(b for _, b in both[:_NAMED])}"
        )
    print(
        f"no motion of both: the smallest difference is {matches[0].ratio:.2f} of the movement"
        if matches
        else "no clip that moves: nothing was compared"
    )
