"""What tells a person from something else, on clips that move."""

from __future__ import annotations

import numpy as np

from poseterior.data.mocap.rigging import _check_bends, _check_sides


def runner(frames: int = 10, lifted: int = 7, swapped: bool = False) -> dict[str, np.ndarray]:
    """A person who faces +z (y up, left +x), and has a foot up behind in most frames: its toes point backwards."""
    points = {
        "pelvis": [0, 1, 0], "neck": [0, 1.5, 0], "left_hip": [0.1, 1, 0], "right_hip": [-0.1, 1, 0],
        "left_shoulder": [0.2, 1.45, 0], "right_shoulder": [-0.2, 1.45, 0], "left_elbow": [0.4, 1.2, 0],
        "right_elbow": [-0.4, 1.2, 0],
    }  # fmt: skip
    found = {name: np.tile(np.array(place, float), (frames, 1)) for name, place in points.items()}
    for side, x in (("left", 0.1), ("right", -0.1)):
        found[f"{side}_knee"] = np.tile([x, 0.55, 0.02], (frames, 1))
        ankle, foot = np.tile([x, 0.1, 0.0], (frames, 1)), np.tile([x, 0.05, 0.15], (frames, 1))
        ankle[:lifted], foot[:lifted] = [x, 0.5, -0.43], [x, 0.45, -0.58]
        found[f"{side}_ankle"], found[f"{side}_foot"] = ankle, foot
    if swapped:
        other = {name: name.replace("left", "?").replace("right", "left").replace("?", "right") for name in found}
        found = {other[name]: place for name, place in found.items()}
    return found


def failed(points: dict[str, np.ndarray]) -> set[str]:
    return {check.name for check in (*_check_sides(points, None), *_check_bends(points)) if not check.passed}


def test_a_runner_is_a_person() -> None:
    assert failed(runner()) == set()


def test_whose_sides_are_exchanged_is_none() -> None:
    assert failed(runner(swapped=True)) == {"toes point forwards", "knees bend backwards"}
