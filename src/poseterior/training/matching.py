"""What a recipe asks for must go together: its lifter, its objectives, its labels and its data."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.labels.labels import load_labels
from ..data.observations import Observations
from ..data.simulation.bodies import BodySimulator
from ..data.simulation.clips import ClipSimulator
from ..data.simulation.simulator import Simulator
from ..data.store import PoseStore
from ..files.errors import InputError
from ..files.parquet import open_parquet
from ..files.reading import reading
from ..lifters import Model
from ..objectives import Objective
from .recipes import Recipe
from .unused import refuse_unseen

__all__ = ["NO_DATA", "check_seen", "check_there", "check_truth", "simulator_for"]


NO_DATA = "no training data: pass data=STORE (made by `poseterior data import`) or data.observations=FILE"


def check_there(recipe: Recipe) -> None:
    """Refuse files and stores that are not there or of another kind, before it is said that they are read.

    Raises:
        InputError: no data, or names the store or file.
    """
    if recipe.observations is None and not recipe.stores:
        raise InputError(NO_DATA)
    for store in recipe.stores:
        PoseStore(store)
    if recipe.observations is not None:
        with reading(recipe.observations), open_parquet(recipe.observations):
            pass
    if recipe.label_file is not None:
        load_labels(recipe.label_file)


def check_seen(recipe: Recipe, lifter: Model, objectives: Sequence[Objective]) -> None:
    """Refuse settings that have no effect on this lifter by these objectives.

    Raises:
        InputError: names the setting.
    """
    for objective, settings in zip(objectives, recipe.objectives, strict=True):
        objective.check_lifter(lifter, settings)
    unseen = set.intersection(*(set(objective.unseen(lifter, recipe.simulator)) for objective in objectives))
    refuse_unseen(recipe.given, unseen, _named(objectives))
    if recipe.calibrate is not None and type(lifter).calibrate is Model.calibrate:
        for name in _given(recipe, "calibrate"):
            raise InputError(
                f"{name}: has no effect on lifter {lifter.name!r}, which has nothing to fit after the last step; "
                "drop it"
            )


def simulator_for(recipe: Recipe, objectives: Sequence[Objective]) -> type[Simulator]:
    """What makes the observations that all objectives learn from.

    Raises:
        InputError: objectives that do not go together, or labels that are missing, or that none of them reads.
    """
    articulated = any(objective.needs_rotations for objective in objectives)
    if articulated and recipe.observations is not None:
        raise InputError("data.observations: stored observations hold no rotations; pass data=STORE instead")
    _check_labels(recipe, objectives, articulated)
    keypoints_only = any(objective.keypoints_only for objective in objectives)
    if keypoints_only and not all(objective.keypoints_only for objective in objectives):
        raise InputError("objectives: one that learns from 2D keypoints alone does not go with one that sees 3D poses")
    return ClipSimulator if keypoints_only else BodySimulator if articulated else Simulator


def check_truth(recipe: Recipe, objectives: Sequence[Objective], observations: Observations, which: str) -> None:
    """Refuse images of which no 3D pose is known where something is learnt from these.

    Args:
        recipe: with the file of the observations.
        objectives: what is learnt by.
        observations: those to learn from, or those held out.
        which: what these are, in words.

    Raises:
        InputError: names the file and who needs 3D poses.
    """
    if bool(observations.observed.any()):
        return
    where = f"{recipe.observations}: holds no 3D poses"
    where += f" ({which})" if which else ""
    asking = next((objective.name for objective in objectives if objective.needs_poses), None)
    if asking is not None:
        raise InputError(
            f"{where}, from which objective {asking!r} learns; train on 2D alone (recipe unsupervised), on depth-order "
            "labels (recipe relative-finetune, with data.labels=FILE), or on other observations"
        )
    if recipe.labels is not None:
        raise InputError(
            f"{where}, of which the section 'labels' makes depth-order labels; pass data.labels=FILE and labels=null"
        )


def _check_labels(recipe: Recipe, objectives: Sequence[Objective], articulated: bool) -> None:
    """Labels there must be where they are learnt from, and nowhere else."""
    asking = next((objective.name for objective in objectives if objective.needs_labels), None)
    given = recipe.labels is not None or recipe.label_file is not None
    if asking is not None and not given:
        raise InputError(
            f"objective {asking!r} learns from depth-order labels: add a section 'labels' to the recipe (for example "
            "labels.pairs=1), or pass data.observations=FILE data.labels=FILE"
        )
    if given and (articulated or any(objective.keypoints_only for objective in objectives)):
        raise InputError("labels: not together with an objective that learns from rotations, or from 2D alone")
    if asking is None:
        # what a recipe says and nobody set is let pass, as elsewhere
        names = ["data.labels"] if recipe.label_file is not None and "data.labels" in recipe.given else []
        names += _given(recipe, "labels") if recipe.labels is not None else []
        for name in names:
            raise InputError(
                f"{name}: has no effect on {_named(objectives)}, which learns from no depth-order labels; drop it"
            )


def _given(recipe: Recipe, section: str) -> list[str]:
    """Names of what the user set in a section."""
    return sorted(name for name in recipe.given if name == section or name.startswith(f"{section}."))


def _named(objectives: Sequence[Objective]) -> str:
    return " and ".join(f"objective {objective.name!r}" for objective in objectives)
