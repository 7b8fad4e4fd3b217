"""Weights that somebody trained with the original code, as lifters and priors of ours.

Nothing in the files is run (`poseterior.files.torch_files`, `poseterior.files.tensorflow`); every tensor is looked up
by its name and checked by its shape, and what computes another function than the published network is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...files.checks import absent, naming, quote
from ...files.errors import InputError
from ...files.tensorflow import bundle_of, read_bundle
from ...files.torch_files import Inert, StoredTensor, read_torch
from ...lifters.base import Model, build_model
from . import duenkel_2024, li_lee_2019, ronchi_2018, wehrbein_2021, yu_2021
from .recognising import system_of
from .tensors import to_ours, with_counters

__all__ = ["FITTED", "SYSTEMS", "import_weights", "refuse_unread"]

Arrays = dict[str, NDArray[Any]]
#: Told apart by nothing but the function that they compute.
_NEWER_FREIA = re.compile(r".*\.(subnet[12]?|(w_)?perm(_inv)?)(\..*)?")
#: Systems whose networks have constants that no checkpoint holds.
FITTED = ("yu_2021", "li_lee_2019")
_COUNTERS = r".*\.num_batches_tracked"


def import_weights(
    system: str, files: Sequence[str | Path], observations: Any = None, source: str | Path = "observations"
) -> Model:
    """The published network with the weights of the original's files, ready to use and to save.

    Args:
        system: one of `SYSTEMS`.
        files: what the original code wrote: one checkpoint; for ``duenkel_2024`` that of the density, and where there
            are those of the feature extractor and the orders of joints; for ``ronchi_2018`` also the option file; for
            ``li_lee_2019`` perhaps the folder that holds one.
        observations: of the data set that the weights were trained on (`poseterior.data.observations`), for constants
            that checkpoints of `FITTED` do not hold.
        source: what the observations are called in messages: their file.

    Raises:
        InputError: an unknown system, a file that is not there or refused, tensors that are not the published
            network's (named), a checkpoint of another system (which), constants that are missing, or observations
            that do not have them, or that nothing is taken from.
    """
    if system not in SYSTEMS:
        raise InputError(f"unknown system {quote(system)}; known: {', '.join(SYSTEMS)}")
    if not files:
        raise InputError(f"{system}: name the checkpoint that the original code wrote")
    refuse_unread(system, observations)
    paths = [Path(file) for file in files]
    for path in paths if system != "li_lee_2019" else ():  # which may be named by what its files have in common
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name the checkpoint in it")
        if not path.is_file():
            raise InputError(f"{path}: {absent(path)}")
    try:
        model, about = SYSTEMS[system](paths, observations)
    except InputError:
        _refuse_others(paths, system)
        raise
    if observations is not None:
        with naming(str(source)):
            _fit(model, observations)
    model.card = {
        "description": f"weights of the original code of {about['paper']}",
        "imported": {"system": system, "files": [Path(file).name for file in files]},
        "licence": "as the original",
        "citation": about["paper"],
        "protocols": about["protocols"],
    }
    return model.eval().requires_grad_(False)


def refuse_unread(system: str, data: object) -> None:
    """Refuse observations for a system whose checkpoints hold every constant.

    Raises:
        InputError: names the option and the system.
    """
    if data is not None and system not in FITTED:
        raise InputError(f"--data: does not go with {system}, whose checkpoints hold every constant; drop it")


def _refuse_others(paths: Sequence[Path], system: str) -> None:
    """Say of a file that could not be read for a system whose it is, if it is another one's."""
    for path in paths:
        other = system_of(path)
        if other is not None and other != system:
            raise InputError(f"{path}: is a checkpoint of {other}, not of {system}; name {other}") from None


def _fit(model: Any, observations: Any) -> None:
    """Constants that the checkpoint lacks, from all joints that the network sees: it has learnt with those of all."""
    for joint in getattr(model, "detected", ()):
        if not bool(observations.keypoints.visible[:, joint].any()):
            raise InputError(
                f"no keypoints show {model.skeleton.joints[joint]}, of which the network's input has mean and "
                "deviation; give the observations that it was trained on"
            )
    model.fit_constants(observations)


def _one(files: Sequence[Path], system: str) -> Path:
    if len(files) != 1:
        raise InputError(f"{system}: expected one checkpoint, got {len(files)} files")
    return files[0]


def _state(content: Any, path: Path, *places: str) -> Arrays:
    """Tensors by name: the content itself, or what stands at the first of the places."""
    for place in places:
        if isinstance(content, dict) and isinstance(content.get(place), dict):
            content = content[place]
            break
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no tensors by name, but {type(content).__name__}")
    found = {name: value.numpy() for name, value in content.items() if isinstance(value, StoredTensor)}
    if not found:
        held = ", ".join(str(name)[:40] for name in list(content)[:10]) or "nothing"
        raise InputError(f"{path}: holds no tensors by name; it holds: {held}")
    return {re.sub(r"^module\.", "", str(name)): value for name, value in found.items()}


def _built(method: str, config: dict[str, Any], theirs: Mapping[str, NDArray[Any]], path: Path) -> Model:
    """A network that is not much larger than what the file holds."""
    numbers = sum(value.size for value in theirs.values())
    try:
        return build_model(method, config, 4 * numbers + 2**22, 50 * len(theirs) + 10_000)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _shape(theirs: Mapping[str, NDArray[Any]], name: str, dimensions: int, path: Path) -> tuple[int, ...]:
    if name not in theirs:
        raise InputError(f"{path}: not the published network: {quote(name)} is missing")
    if theirs[name].ndim != dimensions:
        raise InputError(
            f"{path}: tensor {quote(name)} has shape {theirs[name].shape}; expected {dimensions} dimensions"
        )
    return theirs[name].shape


def _count(theirs: Mapping[str, NDArray[Any]], pattern: str) -> int:
    return len({match[1] for name in theirs if (match := re.match(pattern, name))})


# -- the systems -------------------------------------------------------------------------------------------


def _wehrbein(files: Sequence[Path], _: Any) -> tuple[Model, dict[str, Any]]:
    path = _one(files, "wehrbein_2021")
    theirs = _state(read_torch(path), path, "net", "state_dict")
    newer = next((name for name in theirs if _NEWER_FREIA.fullmatch(name)), None)
    if newer is not None:
        raise InputError(
            f"{path}: tensor {quote(newer)} is of FrEIA 0.2 or later, whose couplings clamp differently: another "
            "function than the published one; give a checkpoint of the published code"
        )
    theirs = {name: value for name, value in theirs.items() if "tmp_var" not in name}
    numbers = {int(match[1]) for name in theirs if (match := re.match(r"inn\.module_list\.(\d{1,6})\.", name))}
    model = _built("flow-published", {}, theirs, path)
    if len(numbers) != 8:
        raise InputError(f"{path}: not the published network: {len(numbers)} couplings, expected 8")
    model.load_state_dict(to_ours(wehrbein_2021.pairs(sorted(numbers)), theirs, model.state_dict(), str(path)))
    about = "Wehrbein, Rudolph, Rosenhahn, Wandt: Probabilistic Monocular 3D Human Pose Estimation, ICCV 2021"
    return model, {"paper": about, "protocols": ["h36m-test", "h36m-test-hard"]}


def _yu(files: Sequence[Path], observations: Any) -> tuple[Model, dict[str, Any]]:
    path = _one(files, "yu_2021")
    theirs = _state(read_torch(path), path, "pose_model_state_dict", "state_dict")
    width, inputs = _shape(theirs, "lifter_before.pre.0.weight", 2, path)
    blocks = _count(theirs, r"lifter_before\.blocks\.(\d{1,6})\.")
    scale = any(name.startswith("scaler.") for name in theirs)
    if inputs != 34:
        raise InputError(f"{path}: takes {inputs} coordinates; the published network takes 34 (17 joints)")
    if observations is None:
        raise InputError(
            f"{path}: the factor from pixels to the network's units is not in the file, but a statistic of the split "
            "that is lifted: pass its observations as --data (`poseterior data import yu-h5`)"
        )
    config = {"width": width, "blocks": blocks, "scale": "published" if scale else "none"}
    model = _built("unsupervised-published", config, theirs, path)
    table = yu_2021.pairs(width, blocks, scale)
    if any(re.fullmatch(_COUNTERS, name) for name in theirs):
        table = with_counters(table)
    model.load_state_dict(to_ours(table, theirs, model.state_dict(), str(path)))
    about = (
        "Yu et al.: Towards Alleviating the Modeling Ambiguity of Unsupervised Monocular 3D Human Pose Estimation, 2021"
    )
    return model, {"paper": about, "protocols": ["yu-h5 (h36m, mpi, lsp)"]}


#: (joints of the data set, by the options' name for it) -> our skeleton.
_RONCHI_SKELETONS = {
    "human36_17k": "h36m17", "human36_14k": "lsp14", "lsp_14k": "lsp14", "shg_16k": "shg16",
}  # fmt: skip
_RONCHI_SIZES = {34: "h36m17", 32: "shg16", 28: "lsp14"}
_RONCHI_SCALES = {
    ("scaled_orthographic", 1.0): "orthographic", ("weak_perspective", 0.001): "perspective",
}  # fmt: skip


def _ronchi(files: Sequence[Path], _: Any) -> tuple[Model, dict[str, Any]]:
    texts = [file for file in files if file.suffix == ".json"]
    if len(texts) > 1:
        raise InputError(f"{texts[1]}: is a second option file; name the files of one model")
    path = _one([file for file in files if file not in texts], "ronchi_2018")
    content = read_torch(path)
    theirs = _state(content, path, "state_dict")
    options = _ronchi_options(content, texts, path)
    width, inputs = _shape(theirs, "w1.weight", 2, path)
    blocks = _count(theirs, r"linear_stages\.(\d{1,6})\.")
    free, standardised = bool(options["unnorm_op"]), bool(options["standardize_output_data"])
    if free == standardised:
        raise InputError(
            f"{path}: options 'unnorm_op' and 'standardize_output_data' are both {free}; expected one of them"
        )
    for name, wanted in (("subtract_2d_root", True), ("camera_coord_3d", True), ("standardize_input_data", True)):
        if bool(options.get(name, wanted)) is not wanted:
            raise InputError(
                f"{path}: option {name!r} is {options[name]!r:.20}: not a published network's; expected {wanted}"
            )
    scale = "none"
    if options["predict_scale"]:
        kind = (options.get("reprojection"), float(options.get("scale_range", 1.0)))
        if kind not in _RONCHI_SCALES:
            raise InputError(
                f"{path}: options 'reprojection', 'scale_range' are {kind!r:.60}; known: {list(_RONCHI_SCALES)}"
            )
        scale = _RONCHI_SCALES[kind]
    skeleton = _RONCHI_SKELETONS.get(str(options.get("dataset_type")), _RONCHI_SIZES.get(inputs))
    if skeleton is None or _RONCHI_SIZES.get(inputs) != skeleton:
        raise InputError(
            f"{path}: takes {inputs} coordinates; known networks take {', '.join(map(str, _RONCHI_SIZES))}"
        )
    config = {
        "skeleton": skeleton, "width": width, "blocks": blocks,
        "output": "free" if free else "standardised", "scale": scale,
    }  # fmt: skip
    model = _built("regression-published", config, theirs, path)
    # Factors and a scale head are in every file, whether they are used or not.
    unused = ("" if free else "mult|") + (r"ws\.\w+" if scale == "none" else "(?!)")
    table = ronchi_2018.pairs(blocks, free, scale != "none")
    state = to_ours(table, theirs, model.state_dict(), str(path), f"{unused}|{_COUNTERS}")
    mean, deviation = _ronchi_statistics(content, "stat_2d", inputs, path)
    state["input_mean"], state["input_std"] = mean, torch.where(deviation == 0, 1.0, deviation)
    if standardised:
        mean, deviation = _ronchi_statistics(content, "stat_3d", 3 * inputs // 2, path)
        state["output_mean"], state["output_std"] = mean / 1000.0, deviation / 1000.0
    model.load_state_dict(state)
    about = "Ronchi, Mac Aodha, Eng, Perona: It's all Relative: Monocular 3D Human Pose Estimation, BMVC 2018"
    return model, {"paper": about, "protocols": ["h36m-h5", "lsp"]}


def _ronchi_options(content: Any, texts: Sequence[Path], path: Path) -> dict[str, Any]:
    """From the checkpoint, or from the option file beside it."""
    held = content.get("opt") if isinstance(content, dict) else None
    found = held.state if isinstance(held, Inert) else held
    if texts:
        try:
            found = json.loads(texts[0].read_text())
        except (OSError, ValueError):
            raise InputError(f"{texts[0]}: not a readable JSON file of options") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no options ('opt'); give the run's opt.json beside it")
    missing = [name for name in ("unnorm_op", "standardize_output_data", "predict_scale") if name not in found]
    if missing:
        raise InputError(f"{path}: options {', '.join(missing)} are missing; give the run's opt.json beside it")
    return found


def _ronchi_statistics(content: Any, name: str, size: int, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation, float64."""
    held = content.get(name) if isinstance(content, dict) else None
    found = []
    for part in ("mean", "std"):
        value = held.get(part) if isinstance(held, dict) else None
        value = value.numpy() if isinstance(value, StoredTensor) else value
        if (
            not isinstance(value, np.ndarray)
            or value.size != size
            or value.dtype.kind != "f"
            or not np.isfinite(value).all()
        ):
            raise InputError(f"{path}: {name}[{part!r}] is not there or not {size} finite numbers")
        found.append(torch.from_numpy(np.array(value, np.float64).reshape(size)))
    return found[0], found[1]


def _li_lee(files: Sequence[Path], observations: Any) -> tuple[Model, dict[str, Any]]:
    # the list of checkpoints, which stands beside them
    named = {bundle_of(_in_folder(file)) for file in files if file.name != "checkpoint" or len(files) == 1}
    if len(named) != 1:
        raise InputError(f"li_lee_2019: expected the files of one TensorFlow checkpoint, got those of {len(named)}")
    path = named.pop()
    theirs = read_bundle(path)
    inputs, width = _shape(theirs, "linear_model/w1", 2, path)
    _, outputs = _shape(theirs, "linear_model/w4", 2, path)
    (kernels,) = _shape(theirs, "linear_model/b6", 1, path)
    if inputs != 32 or outputs != 48 * kernels:
        raise InputError(
            f"{path}: takes {inputs} coordinates and gives {outputs} for {kernels} kernels; expected 32, and 48 a "
            "kernel (networks of 14 joints are not known)"
        )
    blocks = _count(theirs, r"linear_model/two_linear_(\d{1,6})/")
    model = _built("mdn-published", {"width": width, "blocks": blocks, "kernels": kernels}, theirs, path)
    ignored = r".*/Adam(_1)?|beta[12]_power|(linear_model/)?(global_step|learning_rate)"
    model.load_state_dict(to_ours(li_lee_2019.pairs(blocks), theirs, model.state_dict(), str(path), ignored))
    if observations is None:
        raise InputError(
            f"{path}: the means and deviations of the training data are not in a checkpoint: pass the training split "
            "as --data (`poseterior data import h36m-h5 FOLDER --split train --detections sh`)"
        )
    about = (
        "Li, Lee: Generating Multiple Hypotheses for 3D Human Pose Estimation with Mixture Density Network, CVPR 2019"
    )
    return model, {"paper": about, "protocols": ["h36m-h5"]}


def _in_folder(file: Path) -> Path:
    """The one checkpoint in a folder, or beside TensorFlow's list of those in it (``checkpoint``)."""
    listed = file.name == "checkpoint" and not file.with_name("checkpoint.index").exists()
    if not (file.is_dir() or (listed and file.is_file())):
        return file
    folder = file if file.is_dir() else file.parent
    found = sorted(folder.glob("*.index"))
    if len(found) == 1:
        return found[0]
    where = "holds" if file.is_dir() else "is TensorFlow's list of checkpoints; its folder holds"
    if not found:
        raise InputError(f"{file}: {where} no checkpoint (.index)")
    names = ", ".join(one.name for one in found[:5])
    raise InputError(f"{file}: {where} {len(found)} checkpoints; name one of them: {names}")


def _duenkel(files: Sequence[Path], _: Any) -> tuple[Model, dict[str, Any]]:
    theirs: Arrays | None = None
    extractor: Arrays | None = None
    orders: NDArray[Any] | None = None
    order_file: Path | None = None
    path = files[0]
    for file in files:
        if file.suffix in (".yaml", ".yml"):
            continue
        with file.open("rb") as stream:
            begins = stream.read(64)
        if re.fullmatch(rb"[-+0-9.e\s]+", begins):
            _refuse_second(order_file, file, "the orders of joints")
            orders, order_file = _orders(file), file
            continue
        found = _state(read_torch(file), file, "state_dict")
        if "fc_first.weight" in found:
            _refuse_second(extractor, file, "a feature extractor")
            extractor = found
        else:
            _refuse_second(theirs, file, "a density")
            theirs, path = found, file
    if theirs is None:
        raise InputError("duenkel_2024: none of the files is that of the density (model_ckpt_pdf_estimator.pt)")
    first = _shape(theirs, "layers.0.conditioner.fc_first.weight", 2, path)
    outputs, hidden = _shape(theirs, "layers.0.conditioner.fc_last.weight", 2, path)
    condition = first[1] - 3
    if (condition > 0) != (extractor is not None):
        needs = (
            "needs the feature extractor (model_ckpt_feature_extractor.pt)" if condition else "is a prior and has none"
        )
        raise InputError(f"{path}: {needs}; name the files of one model")
    layers = 1 + max((int(m[1]) for name in theirs if (m := re.match(r"layers\.(\d{1,6})\.", name))), default=0)
    _whole_body(layers, path)
    coordinates = 0 if extractor is None else _shape(extractor, "fc_first.weight", 2, path)[1]
    tasks = {0: "prior", 66: "ik", 44: "lift"}
    if coordinates not in tasks:
        raise InputError(f"{path}: its extractor takes {coordinates} coordinates; expected 66 (3D) or 44 (2D)")
    depth = _count(theirs, r"layers\.0\.conditioner\.layers\.(\d{1,6})\.weight")
    config = {"task": tasks[coordinates], "segments": outputs // 4, "hidden": hidden, "hidden_layers": depth}
    model = _built("rotations-published", config, theirs, path)
    state = duenkel_2024.flow_to_ours(theirs, model.state_dict(), str(path), "flow.")
    if extractor is not None:
        state = to_ours(duenkel_2024.extractor(), extractor, state, str(path))
    if orders is not None and order_file is not None:
        state["flow.permutations"] = torch.from_numpy(_check_orders(orders, order_file))
    model.load_state_dict(state)
    about = "Dünkel, Salzmann, Pfaff: Normalizing Flows on the Product Space of SO(3) Manifolds for Pose, 2024"
    return model, {"paper": about, "protocols": ["log-likelihood of rotations"]}


def _refuse_second(first: object, file: Path, what: str) -> None:
    if first is not None:
        raise InputError(f"{file}: holds {what} too; name the files of one model")


def _whole_body(layers: int, path: Path) -> None:
    """Refuse flows of fewer joints: no file of theirs says which joints these are, so that no body has them."""
    joints, rest = divmod(layers, duenkel_2024.LAYERS)
    if rest:
        raise InputError(
            f"{path}: {layers} layers; the published network has {duenkel_2024.LAYERS} for each joint, "
            f"{19 * duenkel_2024.LAYERS} for its 19 joints"
        )
    if joints != 19:
        raise InputError(
            f"{path}: a flow of {joints} joints, and no file of theirs says which of a body's these are, so that it "
            "draws no pose; published models have 19 (SMPL's body without pelvis and feet): give one of these"
        )


def _orders(path: Path) -> NDArray[np.float64]:
    """The text file of the orders of joints, one a layer; `_check_orders` says whether it is one."""
    if path.stat().st_size > 2**20:
        raise InputError(f"{path}: too large for the orders of joints")
    try:
        return np.asarray(np.loadtxt(path, ndmin=2), np.float64)
    except ValueError:
        raise InputError(f"{path}: not a table of numbers; expected the orders of joints (permute_dims.pt)") from None


def _check_orders(orders: NDArray[np.float64], path: Path) -> NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        whole = orders.astype(np.int64)
    if (
        orders.shape != (duenkel_2024.LAYERS, 19)
        or not (np.sort(whole, -1) == np.arange(19)).all()
        or (whole != orders).any()
    ):
        raise InputError(f"{path}: expected {duenkel_2024.LAYERS} orders of 19 joints, found {orders.shape}")
    return whole


_Importer = Callable[[Sequence[Path], Any], tuple[Model, dict[str, Any]]]
#: System -> how its files are read.
SYSTEMS: dict[str, _Importer] = {
    "wehrbein_2021": _wehrbein,
    "duenkel_2024": _duenkel,
    "ronchi_2018": _ronchi,
    "yu_2021": _yu,
    "li_lee_2019": _li_lee,
}
