"""What is asked, and in which order: pure functions of names and a seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Sequence

from ..data.labels.labels import DepthLabels
from ..files.errors import InputError

__all__ = ["GOLD_EVERY", "choose_pairs", "gold_answers", "joint_title", "order_tasks", "show_second_first"]

Pair = tuple[str, str]

#: One question in so many is a gold question, as long as there are some.
GOLD_EVERY = 10

#: What to call the joints whose names only anatomists and data sets use.
_TITLES = {
    "pelvis": "middle of the hips",
    "spine": "middle of the back",
    "spine1": "lower back",
    "spine2": "middle of the back",
    "spine3": "upper back",
    "thorax": "base of the neck",
    "neck_nose": "chin",
    "head_top": "top of the head",
    "head": "middle of the head",
    "left_collar": "left collarbone",
    "right_collar": "right collarbone",
    "left_foot": "ball of the left foot",
    "right_foot": "ball of the right foot",
    "left_foot_index": "tip of the left foot",
    "right_foot_index": "tip of the right foot",
    "left_index": "left index finger",
    "right_index": "right index finger",
    "left_pinky": "left little finger",
    "right_pinky": "right little finger",
    "left_mouth": "left corner of the mouth",
    "right_mouth": "right corner of the mouth",
}


def joint_title(joint: str) -> str:
    """A joint's name for everybody.

    >>> joint_title("left_wrist"), joint_title("pelvis")
    ('left wrist', 'middle of the hips')
    """
    return _TITLES.get(joint, joint.replace("_", " "))


def choose_pairs(
    joints: Sequence[str], count: int, seed: int, image: str, leave_out: Collection[Pair] = ()
) -> list[Pair]:
    """Random distinct pairs of one person's joints, each in the order of ``joints``.

    They depend on the seed and the image id only, so that further images change nothing for the others.

    Args:
        joints: the visible joints in the skeleton's order.
        count: how many pairs; all there are where there are fewer.
        seed: seed of the study.
        image: image id.
        leave_out: pairs that are asked anyway.
    """
    possible = [pair for pair in itertools.combinations(joints, 2) if pair not in leave_out]
    return random.Random(f"{seed}/{image}").sample(possible, min(count, len(possible)))


def gold_answers(labels: DepthLabels) -> dict[tuple[str, str, str], int]:
    """``(image, joint a, joint b)``, joints in the skeleton's order -> known answer, -1 or +1.

    Labels that do not say which joint is nearer (0) are left out.

    Raises:
        InputError: two labels of one pair contradict each other.
    """
    from ..geometry.skeletons import get_skeleton

    place = {joint: i for i, joint in enumerate(get_skeleton(labels.skeleton).joints)}
    gold: dict[tuple[str, str, str], int] = {}
    rows = zip(
        labels.image.tolist(), labels.joint_a.tolist(), labels.joint_b.tolist(), labels.label.tolist(), strict=True
    )
    for image, a, b, label in rows:
        if label == 0:
            continue
        key, known = ((image, a, b), label) if place[a] < place[b] else ((image, b, a), -label)
        if gold.setdefault(key, known) != known:
            raise InputError(
                f"--gold: {image}: {key[1]} and {key[2]} have two answers that contradict each other; "
                "merge the labels first"
            )
    return gold


def order_tasks(tasks: Iterable[tuple[int, str]], seed: int, annotator: str) -> list[int]:
    """The order in which one annotator gets the questions ``(id, image id)``.

    Images come in random order, the questions about one of them in random order one after the other: an image is
    looked at once.
    """
    shuffle = random.Random(f"{seed}/{annotator}").shuffle
    by_image: dict[str, list[int]] = {}
    for task, image in tasks:
        by_image.setdefault(image, []).append(task)
    groups = list(by_image.values())
    shuffle(groups)
    for group in groups:
        shuffle(group)
    return list(itertools.chain.from_iterable(groups))


def show_second_first(task: int, seed: int, annotator: str) -> bool:
    """Whether this annotator is shown joint b as the first one: a fair coin, the same after a reload."""
    return random.Random(f"{seed}/{annotator}/{task}").random() < 0.5
