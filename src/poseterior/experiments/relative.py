"""The experiments of Ronchi et al. (BMVC 2018) on one's own motion capture: what is one bit per image worth?

Every experiment is a recipe (``relative-published``, ``supervised-published``) with changes. Observations are made
once and stored, so that all runs see the same pictures and the same labels. Results are one JSON file per run and one
with all; runs that have theirs are not repeated, so that an interrupted experiment goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.labels.labels import DepthLabels, load_labels, save_labels
from ..data.observations import Observations, ObservationSet, load_observations, save_observations
from ..data.simulation.protocols import Protocol, simulate
from ..evaluation.subsets import select_poses, spread_poses
from ..files.errors import InputError
from ..files.writing import atomic_write, check_folder
from ..geometry.skeletons import SKELETONS
from ..lifters import load
from ..metrics import accuracy
from ..metrics.depth_order import order_accuracy, order_accuracy_by_gap
from ..training import train
from ..training.recipes import Recipe, read_recipe
from .crowd import crowd_by_gap
from .posed import observed_poses

__all__ = [
    "GROUPS",
    "SIZES",
    "ExperimentSize",
    "RelativeRun",
    "against_flat_depth",
    "measure",
    "relative_runs",
    "run_relative",
]

#: Groups of runs, in the order in which they are run.
GROUPS = ("budget", "labelnoise", "ablation", "noise2d", "joints", "crowd")
_JOINTS = len(SKELETONS["h36m17"])


@dataclasses.dataclass(frozen=True)
class ExperimentSize:
    """How large the experiments are.

    Attributes:
        views: pictures to learn from.
        test_views: pictures to measure on.
        width: of the network.
        steps, batch: of each run.
    """

    views: int
    test_views: int
    width: int
    steps: int
    batch: int


SIZES = {
    "quick": ExperimentSize(views=8000, test_views=500, width=256, steps=2000, batch=64),
    "full": ExperimentSize(views=24_096, test_views=2663, width=512, steps=7520, batch=128),
}


@dataclasses.dataclass(frozen=True)
class RelativeRun:
    """One training and what it is measured on.

    Attributes:
        name: unique.
        group: one of `GROUPS`.
        method: supervised, relative or mixture.
        label: what to call it in figures.
        changes: to the method's recipe.
        share: of the views to learn from.
        pairs: labelled per view.
        noise: standard deviation in px added to the keypoints (training, test).
        flip: probability that a label is turned round, or "crowd".
        trained: name of the run whose weights are measured; its own where empty.
        without: joints whose keypoints nobody gives, neither in training nor in the test.
        crowd: share of the crowd's labels on which the relative run goes on.
    """

    name: str
    group: str
    method: str
    label: str
    changes: tuple[str, ...] = ()
    share: float = 1.0
    pairs: int = 1
    noise: tuple[float, float] = (0.0, 0.0)
    flip: float | str | None = None
    trained: str = ""
    without: tuple[str, ...] = ()
    crowd: float = 0.0


def relative_runs(noises: Sequence[float] = (5.0, 10.0, 15.0, 20.0)) -> list[RelativeRun]:
    """All runs of the experiments, the two main ones (``supervised``, ``relative``) first.

    Args:
        noises: variances in px² of the keypoints' noise, as published (of pictures of 1000 px).
    """
    every = _JOINTS * (_JOINTS - 1) // 2
    everything = ("labels.pairs=all",)
    runs = [
        RelativeRun("supervised", "budget", "supervised", "all 3D poses"),
        RelativeRun("relative", "budget", "relative", "1 pair per view", flip=0.0),
        RelativeRun("mixture", "budget", "mixture", "1 pair per view"),
    ]
    runs += [
        RelativeRun(f"supervised-{share}", "budget", "supervised", f"{share:g} % of the poses", share=share / 100)
        for share in (0.0625, 0.125, 0.25, 5, 25)
    ]
    runs += [
        RelativeRun(f"relative-{share}", "budget", "relative", f"1 pair, {share} % of the views", share=share / 100)
        for share in (25, 50)
    ]
    runs += [
        RelativeRun("relative-17-pairs", "budget", "relative", "17 pairs", ("labels.pairs=17",), pairs=17),
        RelativeRun("relative-all-pairs", "budget", "relative", "all pairs", everything, pairs=every),
    ]
    crowd = ("labels.noise=crowd",)
    runs.append(RelativeRun("labels-crowd", "labelnoise", "relative", "crowd-like noise", crowd, flip="crowd"))
    for flip in (0.25, 0.5, 0.75, 1.0):
        changes = ("labels.noise=flip", f"labels.flip={flip}")
        runs.append(RelativeRun(f"labels-{flip}", "labelnoise", "relative", f"{flip:.0%} flipped", changes, flip=flip))
    ablations: dict[str, tuple[str, dict[str, Any]]] = {
        "template-measured": ("template: measured mean", {"template": "cmu"}),
        "template-own": ("template: each person's own", {"template": "per_sample"}),
        "no-limbs": ("no limb term", {"limbs": 0.0}),
        "perspective": ("known focal length", {"camera": "perspective"}),
        "fixed-normaliser": ("fixed normaliser", {"normaliser": 0.1}),
    }
    for name, (label, settings) in ablations.items():
        objective = (f"objectives=[{json.dumps({'name': 'depth_order'} | settings)}]",)
        head = ("lifter.scale=perspective",) if name == "perspective" else ()
        runs.append(RelativeRun(name, "ablation", "relative", label, objective + head))
    runs.append(
        RelativeRun(
            "ablation-all-pairs", "ablation", "relative", "all pairs", everything, pairs=every,
            trained="relative-all-pairs",
        )
    )  # fmt: skip
    wide = ("labels.tolerance=0.1",)
    runs.append(RelativeRun("tolerance", "ablation", "relative", "100 mm count as level", wide))
    for variance in noises:
        sigma = variance**0.5
        for method in ("supervised", "relative"):
            test_only, both = f"{method}-noise-{variance:g}-test", f"{method}-noise-{variance:g}"
            label = f"{variance:g} px²"
            runs.append(RelativeRun(test_only, "noise2d", method, label, noise=(0.0, sigma), trained=method))
            runs.append(RelativeRun(both, "noise2d", method, label, noise=(sigma, sigma)))
    # Table 2: 17 joints and 16, which is what detectors lack; exact keypoints, and as a detector errs.
    for method in ("supervised", "relative"):
        for without, joints in (((), "17 joints"), (("neck_nose",), "16 joints")):
            for sigma, seen in ((0.0, "exact"), (_DETECTED, "detected")):
                name = f"{method}-{joints.partition(' ')[0]}-{seen}"
                trained = method if not without and not sigma else ""
                runs.append(
                    RelativeRun(
                        name, "joints", method, f"{joints}, {seen}", noise=(sigma, sigma), without=without,
                        trained=trained,
                    )
                )  # fmt: skip
    for share in _CROWD_SHARES:
        label = f"crowd, {share:.0%} of the labels"
        runs.append(RelativeRun(f"crowd-{share:g}", "crowd", "relative", label, crowd=share))
    return runs


#: Standard deviation in px of a detector's errors, for table 2; pictures are 1000 px wide.
_DETECTED = 10.0**0.5
#: Shares of the crowd's labels on which the relative run goes on (figure 5).
_CROWD_SHARES = (0.1, 0.5, 1.0)


def _supervision_megabytes(run: RelativeRun, views: int) -> float:
    """The published cost: 8 bits per coordinate of a 3D pose, 1 bit per label."""
    count = max(1, round(run.share * views))
    return (count * _JOINTS * 3 if run.method == "supervised" else count * run.pairs / 8) / 1e6


# -- measuring ------------------------------------------------------------------------------------------------


def measure(pose: Tensor, observations: Observations) -> dict[str, Any]:
    """Errors and order of poses ``(n, 17, 3)``: mm, after similarity alignment per joint, and shares of 1."""
    truth, valid = observations.pose, observations.observed
    aligned = accuracy.similarity_align(pose, truth, valid)
    errors = 1000 * accuracy.joint_errors(aligned, truth, valid)
    per_pose = 1000 * accuracy.mpjpe(aligned, truth, valid)
    names = SKELETONS["h36m17"].joints
    by_gap = order_accuracy_by_gap(pose, truth, valid)
    quantiles = torch.quantile(per_pose, torch.linspace(0, 1, 200, dtype=per_pose.dtype))
    return {
        "P-MPJPE": round(float(per_pose.mean()), 2),
        "N-MPJPE": round(1000 * float(accuracy.n_mpjpe(pose, truth, valid).mean()), 2),
        "MPJPE": round(1000 * float(accuracy.mpjpe(pose, truth, valid).mean()), 2),
        "order accuracy": round(float(order_accuracy(pose, truth, valid)), 4),
        "order by gap": by_gap,
        "per joint": {
            name: {
                "mean": round(float(errors[valid[:, j], j].mean()), 2),
                "std": round(float(errors[valid[:, j], j].std()), 2),
            }
            for j, name in enumerate(names)
            if bool(valid[:, j].any())
        },
        "cumulative": [round(float(value), 2) for value in quantiles],
    }


def _baselines(observations: Observations, training: Observations) -> dict[str, Any]:
    """The true x and y without depth, and the mean training pose."""
    flat = observations.pose * torch.tensor([1.0, 1.0, 0.0])
    mean = training.pose[training.observed.any(-1)].mean(0).expand_as(observations.pose)
    return {"flat depth": measure(flat, observations), "mean pose": measure(mean, observations)}


def against_flat_depth(results: dict[str, Any]) -> str:
    """Whether one bit a picture taught more than no depth at all, in a sentence: the point of the paper."""
    flat, relative = results["baselines"]["flat depth"], results["runs"]["relative"]
    gain = flat["P-MPJPE"] - relative["P-MPJPE"]
    numbers = f"P-MPJPE {relative['P-MPJPE']:.1f} mm from one bit per view, {flat['P-MPJPE']:.1f} mm without depth"
    if gain > 0:
        return f"{numbers}: relative depth helps, as published"
    return (
        f"{numbers}: these runs are too small to show what the paper does, and say nothing against it; "
        "run without --quick, or on more views"
    )


# -- running --------------------------------------------------------------------------------------------------


def _split(data: ObservationSet, share: float, seed: int) -> tuple[ObservationSet, ObservationSet]:
    """Hold out a share of the clips for the test."""
    files = [i.file for i in data.observations.keypoints.ids]
    names = sorted(set(files))
    if len(names) < 2:
        raise InputError("--data: holds one clip only; pass another store as --test")
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    held = {names[i] for i in order[: max(1, round(share * len(names)))]}
    out = torch.tensor([file in held for file in files])
    return select_poses(data, ~out), select_poses(data, out)


def _with_noise(data: ObservationSet, sigma: float, seed: int) -> ObservationSet:
    if sigma == 0:
        return data
    keypoints = data.observations.keypoints
    noise = torch.randn(keypoints.xy.shape, generator=torch.Generator().manual_seed(seed))
    moved = keypoints._replace(xy=keypoints.xy + sigma * noise)
    return dataclasses.replace(data, observations=dataclasses.replace(data.observations, keypoints=moved))


def _without(data: ObservationSet, joints: Sequence[str]) -> ObservationSet:
    """The same without keypoints of some joints."""
    if not joints:
        return data
    keypoints = data.observations.keypoints
    visible = keypoints.visible.clone()
    visible[:, [SKELETONS["h36m17"].index(joint) for joint in joints]] = False
    seen = keypoints._replace(visible=visible)
    return dataclasses.replace(data, observations=dataclasses.replace(data.observations, keypoints=seen))


def _on_crowd(run: RelativeRun, recipe: Recipe, crowd: DepthLabels, out: Path, seed: int) -> Recipe:
    """The recipe that goes on from the relative run on a share of the crowd's labels."""
    path = out / f"labels-{run.crowd:g}.parquet"
    if not path.is_file():
        generator = torch.Generator().manual_seed(seed)
        count = max(1, round(run.crowd * len(crowd)))
        rows = torch.randperm(len(crowd), generator=generator)[:count].sort().values.numpy()
        save_labels(crowd.select(rows), path)
    # A tenth of the rate and of the steps: what is known already is not to be forgotten.
    schedule = dataclasses.replace(
        recipe.schedule, steps=max(1, recipe.schedule.steps // 5), learning_rate=0.1 * recipe.schedule.learning_rate
    )
    lifter = recipe.lifter | {"init": str(out / "runs" / "relative" / "weights")}
    return dataclasses.replace(recipe, lifter=lifter, label_file=str(path), labels=None, views=0, schedule=schedule)


def _observations(
    store: Path, test: Path | None, size: ExperimentSize, seed: int
) -> tuple[ObservationSet, ObservationSet]:
    """Pictures to learn from and to measure on: stored ones, or of stores by the recipe's cameras."""
    if store.is_file():
        stored = observed_poses(store, "--data")
        training, held = _split(stored, 0.25, seed) if test is None else (stored, observed_poses(test, "--test"))
        # Pictures without a pose may be learnt from by their labels; nothing can be measured on them.
        known = held.observations.observed.any(-1)
        if not bool(known.any()):
            raise InputError(f"--data {store}: no picture held out has a 3D pose to measure on; add --test FILE")
        held = select_poses(held, known)
        return spread_poses(training, min(size.views, len(training))), spread_poses(
            held, min(size.test_views, len(held))
        )
    if test is not None and test.is_file():
        raise InputError("--test: --data is a pose store, so this must be one; give observations for both, or stores")
    simulator = read_recipe("relative-published").simulator
    protocol = Protocol("relative", "as a studio", "any", simulator, fps=30.0, seed=seed)
    if test is not None:
        return simulate(store, protocol, size.views), simulate(test, protocol, size.test_views)
    training, held = _split(simulate(store, protocol), 0.25, seed)
    return spread_poses(training, size.views), spread_poses(held, size.test_views)


def _recipe(run: RelativeRun, size: ExperimentSize, observations: Path, views: int, seed: int) -> Recipe:
    base = "supervised-published" if run.method == "supervised" else "relative-published"
    changes = [
        f"data.observations={json.dumps(str(observations))}",
        "data.validation=0",
        f"data.views={max(1, round(run.share * views))}",
        f"lifter.width={size.width}",
        f"schedule.steps={size.steps}",
        f"schedule.batch={size.batch}",
        f"schedule.seed={seed}",
        "schedule.save_every=1000",
    ]
    if run.method == "mixture":
        changes += [
            f"lifter={{method: mdn, width: {size.width}, blocks: 2}}",
            "objectives=[{name: depth_order, plane: view, camera: perspective, size: height, order: likelihood}]",
            "schedule.final=0.01",
            "schedule.warmup=300",
        ]
    recipe = read_recipe(base, [*changes, *run.changes])
    return dataclasses.replace(recipe, name=f"relative experiment {run.name}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable ({error}); remove it to do its part anew") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object; remove it to do its part anew")
    return value


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write((json.dumps(value, indent=1) + "\n").encode())


#: What `run_relative` and the figures write into their folder.
WRITTEN = ("experiment.json", "train.parquet", "test.parquet", "results", "results.json", "runs", "figures")


def _trained(run: RelativeRun, recipe: Recipe, folder: Path, device: str) -> Path:
    """The weights of a run: trained before, or now (an interrupted training goes on)."""
    weights = folder / "weights"
    if not (weights / "config.json").is_file():
        resume = (folder / "recipe.yaml").is_file()
        train(recipe, folder, resume=resume, device=device, progress=False)
    return weights


def run_relative(
    store: str | Path,
    out: str | Path,
    *,
    test: str | Path | None = None,
    labels: str | Path | None = None,
    size: str = "full",
    groups: Sequence[str] = GROUPS,
    seed: int = 0,
    device: str = "cpu",
    report: Any = print,
) -> dict[str, Any]:
    """Run the experiments, or go on with them, and return all results.

    Args:
        store: pose store to learn from, or a file of observations.
        out: folder for observations, runs, results and figures.
        test: pose store to measure on; None: a quarter of the clips of ``store`` is held out.
        labels: label store of the training pictures, for the group "crowd".
        size: a name of `SIZES`.
        groups: which of `GROUPS` to run; the two main runs and the mixture are always run.
        seed: of cameras, labels and training.
        device: where to train.
        report: called with one line per run.

    Raises:
        InputError: no store, observations without 3D poses, an unknown size or group, or a folder with experiments of
            other settings.
    """
    if size not in SIZES:
        raise InputError(f"size: expected one of {', '.join(SIZES)}, got {size!r}")
    for group in groups:
        if group not in GROUPS:
            raise InputError(f"groups: unknown group {group!r}; known: {', '.join(GROUPS)}")
    if labels is not None and not Path(store).is_file():
        raise InputError(
            "--labels: labels are of pictures: give their observations as --data FILE.parquet, not a store"
        )
    if labels is None and "crowd" in groups:
        if set(groups) != set(GROUPS):
            raise InputError("groups: crowd: needs the crowd's labels; pass them as --labels FILE")
        groups = [group for group in groups if group != "crowd"]
    out, chosen = Path(out), SIZES[size]
    check_folder(out)
    crowd = None if labels is None else load_labels(labels)
    settings = {"size": size, "seed": seed, **dataclasses.asdict(chosen), "test": test is not None}
    settings |= {"observations": True} if Path(store).is_file() else {}
    settings |= {"labels": Path(labels).name} if labels is not None else {}
    sources = {"data": Path(store).name, "measured on": None if test is None else Path(test).name}
    settings |= sources
    if (out / "experiment.json").exists():
        before = sources | _read_json(out / "experiment.json")  # which earlier versions did not write
        if before != settings:
            other = ", ".join(
                f"{name}: {before.get(name)} instead of {settings.get(name)}"
                for name in sorted(before.keys() | settings.keys())
                if before.get(name) != settings.get(name)
            )
            raise InputError(f"{out}: holds experiments of other settings ({other}); choose another --out")
    else:
        training, held = _observations(Path(store), None if test is None else Path(test), chosen, seed)
        save_observations(training, out / "train.parquet")
        save_observations(held, out / "test.parquet")
        _write_json(out / "experiment.json", settings)
    # From the files, so that a first and a resumed run have exactly the same.
    training, held = load_observations(out / "train.parquet"), load_observations(out / "test.parquet")
    baselines = _baselines(held.observations, training.observations)
    results: dict[str, Any] = {"size": size, "views": len(training), "runs": {}, "baselines": baselines}
    if crowd is not None:
        if (table := crowd_by_gap(training.observations, crowd)) is not None:
            results["crowd"] = table
        else:
            report("figures 2 and 3 are left out: no label is of two joints whose true depths differ in --data")
    main = {"supervised", "relative", "mixture"}
    runs = [run for run in relative_runs() if run.group in groups or run.name in main]
    for number, run in enumerate(runs, 1):
        path = out / "results" / f"{run.name}.json"
        if not path.is_file():
            _write_json(path, _result(run, chosen, training, held, out, seed, device, crowd))
        results["runs"][run.name] = _read_json(path)
        row = results["runs"][run.name]
        report(f"{number}/{len(runs)} {run.name}: P-MPJPE {row['P-MPJPE']:.1f} mm, order {row['order accuracy']:.3f}")
        _write_json(out / "results.json", results)
    return results


def _result(
    run: RelativeRun,
    size: ExperimentSize,
    training: ObservationSet,
    held: ObservationSet,
    out: Path,
    seed: int,
    device: str,
    crowd: DepthLabels | None,
) -> dict[str, Any]:
    sigma_training, sigma_test = run.noise
    source = out / "train.parquet"
    if sigma_training or run.without:
        parts = [f"noise-{sigma_training**2:.4g}"] if sigma_training else []
        source = out / f"train-{'-'.join([*parts, *(f'without-{joint}' for joint in run.without)])}.parquet"
        if not source.is_file():
            save_observations(_without(_with_noise(training, sigma_training, seed + 1), run.without), source)
    recipe = _recipe(run, size, source, len(training), seed)
    if run.crowd:
        assert crowd is not None
        recipe = _on_crowd(run, recipe, crowd, out, seed)
    weights = _trained(run, recipe, out / "runs" / (run.trained or run.name), device)
    seen = _without(_with_noise(held, sigma_test, seed + 2), run.without).observations
    lifter = load(weights)
    with torch.no_grad():
        pose = torch.cat([lifter(part).mean for part in _chunks(seen)])
    return {
        "group": run.group,
        "method": run.method,
        "label": run.label,
        "megabytes": _supervision_megabytes(run, len(training)),
        "noise": {"train": round(sigma_training, 4), "test": round(sigma_test, 4)} if any(run.noise) else None,
        "flip": run.flip,
        **measure(pose, seen),
    }


def _chunks(observations: Observations, size: int = 500) -> list[Any]:
    return [observations.keypoints[i : i + size] for i in range(0, len(observations.pose), size)]
