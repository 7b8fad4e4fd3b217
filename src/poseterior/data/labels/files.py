"""Depth-order labels in other files: the published JSON of Leeds Sports Pose, and CSV.

The JSON (Ronchi et al., *It's all relative*, BMVC 2018; ``relative_depth_lsp_v1.json``) holds answers of a crowd that
were merged: ``{"joint_names": [14], "images": [{"im_file", "is_train", "keypoints": [28 x, y], "occluded": [14],
"anns": [{"kp0", "kp1", "label", "prob", "risk"}]}]}``. Label 0 says that joint kp0 is nearer (ours: -1), 1 that kp1 is
(ours: +1). ``prob`` is the probability of label 1 and ``risk`` that of the stored label being wrong, so the
confidence that the stored label is right is ``prob`` where it is 1 and ``1 - risk`` where it is 0.

The CSV has one row per answer and the columns image, joint_a, joint_b, label (-1, 0, +1 as in `DepthLabels`), and,
where known, confidence (1), annotator, time (seconds since 1970-01-01 UTC) and skeleton; its first line may be
``# skeleton: NAME`` instead of that column. Spreadsheets and pandas read and write it: names that they would take for
numbers or for nothing (007, NA) have an apostrophe before them, and so have those that begin with one.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...files.checks import as_list, as_object, describe, naming, number, numbers
from ...files.errors import InputError
from ...files.reading import reader
from ...files.texts import read_json
from ...files.writing import atomic_write
from ...geometry.skeletons import SKELETONS, canonical_joint_name, get_skeleton
from ..observations import ObservationSet
from ..sets.lsp import OCCLUDED_CONFIDENCE, observations_without_truth
from .labels import DepthLabels

__all__ = [
    "read_csv",
    "read_published",
    "read_published_keypoints",
    "write_csv",
    "write_published",
]

_LSP = SKELETONS["lsp14"]
_COLUMNS = ("image", "joint_a", "joint_b", "label", "confidence", "annotator", "time")
_NEEDED = _COLUMNS[:4]
#: Names that other programs take for something else than text.
_NO_TEXT = re.compile(
    r"(?i)\s*[+-]?(\d[\d_,]*\.?\d*|\.\d+)(e[+-]?\d+)?\s*|[+-]?(nan|inf|infinity|na|n/a|#n/a( n/a)?|#na|<na>|null|none"
    r"|true|false|-1\.#ind|-1\.#qnan|1\.#ind|1\.#qnan)|'.*"
)
_SPLITS = ("train", "test")


# -- the published JSON --------------------------------------------------------------------------------


@reader()
def read_published(path: str | os.PathLike[str], split: str | None = None) -> DepthLabels:
    """Labels of the published JSON, skeleton lsp14; image ids are the files' ``im_file``.

    Args:
        path: the file.
        split: "train" or "test" takes the images whose ``is_train`` says so; None takes all.

    Raises:
        InputError: no such file, not JSON, a field missing or of another kind (names image, annotation and field).
    """
    rows: list[tuple[str, str, str, int, float]] = []
    with naming(os.fspath(path)):
        data = _load(path)
        names = _joint_names(data)
        for what, image in _images(data, split):
            file = _text(image["im_file"], f"{what}.im_file")
            for i, annotation in enumerate(as_list(image["anns"], f"{what}.anns")):
                rows.append((file, *_annotation(annotation, f"{what}.anns[{i}]", names)))
        file, first, second, label, confidence = zip(*rows, strict=True) if rows else ((), (), (), (), ())  # type: ignore[assignment]
        n = len(rows)
        return DepthLabels(
            np.array(file, str), np.array(first, str), np.array(second, str), np.array(label), np.array(confidence),
            np.full(n, ""), np.full(n, np.nan), "lsp14",
        )  # fmt: skip


@reader()
def read_published_keypoints(path: str | os.PathLike[str], split: str | None = None) -> ObservationSet:
    """Keypoints of the published JSON as observations in h36m17 without 3D poses, see `read_lsp`.

    An occluded joint has half the confidence. Image sizes are not in the file and stay unknown.

    Raises:
        InputError: as `read_published`; or a split without images.
    """
    xy: list[np.ndarray] = []
    occluded: list[np.ndarray] = []
    files: list[str] = []
    with naming(os.fspath(path)):
        data = _load(path)
        # the file's place of each of our joints
        order = [_joint_names(data).index(joint) for joint in _LSP.joints]
        for what, image in _images(data, split):
            image = as_object(image, what, "keypoints", "occluded")
            points, hidden = (numbers(image[field], f"{what}.{field}") for field in ("keypoints", "occluded"))
            if len(points) != 28 or len(hidden) != 14:
                raise InputError(
                    f"{what}: {len(points)} numbers in 'keypoints' and {len(hidden)} in 'occluded'; "
                    "expected 28 (x, y of 14 joints) and 14"
                )
            xy.append(points.reshape(14, 2)[order])
            occluded.append(hidden[order] != 0)
            files.append(_text(image["im_file"], f"{what}.im_file"))
        if not files:
            raise InputError(f"no image in the split {split!r}" if split else "holds no image")
        confidence = np.where(np.array(occluded), OCCLUDED_CONFIDENCE, 1.0)
        sizes = np.full((len(files), 2), np.nan)
        return observations_without_truth(
            np.array(xy), confidence, files, sizes, f"relative-depth-lsp-{split or 'all'} v1", "lsp"
        )


def write_published(labels: DepthLabels, path: str | os.PathLike[str]) -> None:
    """Write labels in the published layout, without keypoints: what is not in the labels is left out.

    Raises:
        InputError: joints that lsp14 has not, a label 0, or labels with annotators: the layout has no place for them.
    """
    if labels.skeleton != _LSP.name:
        raise InputError(
            f"{os.fspath(path)}: the published layout has the joints of lsp14, not {labels.skeleton}: use .csv"
        )
    if (labels.label == 0).any():
        row = int(np.argmax(labels.label == 0))
        raise InputError(
            f"{os.fspath(path)}: row {row} has label 0 (same depth, cannot tell or tied), for which the published "
            "layout has no place: use .csv"
        )
    if (labels.annotator != "").any():
        raise InputError(
            f"{os.fspath(path)}: the published layout holds merged labels, without annotators: run "
            "`poseterior labels merge` first, or use .csv"
        )
    images: dict[str, list[dict[str, Any]]] = {}
    for file, a, b, label, confidence in zip(
        labels.image.tolist(), labels.joint_a.tolist(), labels.joint_b.tolist(), labels.label.tolist(),
        map(_decimal, labels.confidence), strict=True,
    ):  # fmt: skip
        risk = round(1 - confidence, 9)
        annotation = {
            "kp0": a,
            "kp1": b,
            "label": int(label > 0),
            "prob": confidence if label > 0 else risk,
            "risk": risk,
        }
        images.setdefault(file, []).append(annotation)
    content = {
        "joint_names": list(_LSP.joints),
        "images": [{"im_file": file, "anns": annotations} for file, annotations in images.items()],
    }
    with atomic_write(path) as target:
        target.write(json.dumps(content, indent=1).encode())


def _load(path: str | os.PathLike[str]) -> dict[str, Any]:
    return as_object(read_json(Path(path)), "file", "joint_names", "images")


def _joint_names(data: dict[str, Any]) -> list[str]:
    """Our names of the file's joints, in its order."""
    listed = as_list(data["joint_names"], "joint_names")
    names = [_lsp_name(_text(name, f"joint_names[{i}]")) for i, name in enumerate(listed)]
    if sorted(names) != sorted(_LSP.joints):
        missing = [joint for joint in _LSP.joints if joint not in names]
        strange = [raw for raw, name in zip(listed, names, strict=True) if name not in _LSP.joints]
        raise InputError(
            f"joint_names: expected the 14 joints of Leeds Sports Pose; missing: {', '.join(missing) or 'none'}; "
            f"not known: {', '.join(strange) or 'none'}"
        )
    return names


def _lsp_name(name: str) -> str:
    canonical = canonical_joint_name(name)
    return "head_top" if canonical == "head" else canonical


def _images(data: dict[str, Any], split: str | None) -> Iterable[tuple[str, dict[str, Any]]]:
    """Where each image of the split stands, and its object."""
    if split not in (None, *_SPLITS):
        raise InputError(f"unknown split {split!r}; known: {', '.join(_SPLITS)}")
    for i, entry in enumerate(as_list(data["images"], "images")):
        what = f"images[{i}]"
        image = as_object(entry, what, "im_file", "anns")
        if split is not None:
            training = as_object(image, what, "is_train")["is_train"]
            if training not in (0, 1):
                raise InputError(f"{what}.is_train: expected true or false, found {describe(training)}")
            if bool(training) != (split == "train"):
                continue
        yield what, image


def _annotation(value: Any, what: str, names: list[str]) -> tuple[str, str, int, float]:
    """joint_a, joint_b, label, confidence."""
    annotation = as_object(value, what, "kp0", "kp1", "label", "prob", "risk")
    first, second = (_joint(annotation[field], f"{what}.{field}", names) for field in ("kp0", "kp1"))
    if first == second:
        raise InputError(f"{what}: kp0 and kp1 are both {first!r}; expected two different joints")
    if annotation["label"] not in (0, 1):
        raise InputError(
            f"{what}.label: expected 0 (kp0 nearer) or 1 (kp1 nearer), found {describe(annotation['label'])}"
        )
    label = int(annotation["label"])
    prob, risk = (number(annotation[field], f"{what}.{field}") for field in ("prob", "risk"))
    for field, share in (("prob", prob), ("risk", risk)):
        if not 0 <= share <= 1:
            raise InputError(f"{what}.{field}: expected a number from 0 to 1, found {share}")
    return first, second, 2 * label - 1, prob if label else 1 - risk


def _joint(value: Any, what: str, names: list[str]) -> str:
    """A joint given by its name, or by its place in ``joint_names`` (from 0)."""
    if isinstance(value, str):
        name = _lsp_name(value)
        if name in names:
            return name
    elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return names[value]
    raise InputError(f"{what}: expected one of joint_names, or its place from 0 to 13, found {describe(value)}")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{what}: expected text, found {describe(value)}")
    return value


# -- CSV -----------------------------------------------------------------------------------------------


@reader()
def read_csv(path: str | os.PathLike[str], skeleton: str | None = None) -> DepthLabels:
    """Labels from a CSV file.

    Args:
        path: the file.
        skeleton: name; needed where the first line does not say it, and must agree where it does.

    Raises:
        InputError: no such file, no or another skeleton, a column missing, an entry that is no number, or a row that
            `DepthLabels` refuses (names the line).
    """
    with naming(os.fspath(path)):
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise InputError("no such file") from None
        except UnicodeDecodeError:
            raise InputError("not UTF-8 text; expected CSV") from None
        first, *_ = text.split("\n", 1)
        named = re.fullmatch(r"#\s*skeleton:\s*(\S+)\s*", first.strip().rstrip(","))
        if named and skeleton is not None and named[1] != skeleton:
            raise InputError(f"the first line says skeleton {named[1]}, but {skeleton} was given; drop one of the two")
        lines = csv.DictReader(io.StringIO(text[len(first) + 1 :] if named else text))
        try:
            header = lines.fieldnames or []
        except csv.Error as error:
            raise InputError(f"not readable as CSV ({error})") from None
        for column in _NEEDED:
            if column not in header:
                raise InputError(f"the column {column!r} is missing; expected {', '.join(_COLUMNS)}")
        try:
            rows = [(row, lines.line_num + (1 if named else 0)) for row in lines]
        except csv.Error as error:
            raise InputError(f"line {lines.line_num + (1 if named else 0)}: not readable as CSV ({error})") from None
        body = _skeleton_of(rows, named[1] if named else None, skeleton)
        return _from_rows(rows, len(header), body)


_Row = tuple[dict[str, Any], int]


def _skeleton_of(rows: list[_Row], named: str | None, given: str | None) -> str:
    """The skeleton that the first line, the column or the caller names."""
    for row, line in rows:
        own = (row.get("skeleton") or "").strip()
        known = named or given
        if own and known is not None and own != known:
            raise InputError(f"line {line}: the skeleton is {own}, but {known} was given; drop one of the two")
        named = named or own or None
    if named is None and given is None:
        raise InputError("the skeleton is not given: make the first line '# skeleton: NAME', or pass --skeleton NAME")
    return get_skeleton(named or given or "").name


def _from_rows(rows: list[_Row], width: int, skeleton: str) -> DepthLabels:
    """Labels of the rows, each with the line it ends in; ``width``: entries of the header."""
    joints = get_skeleton(skeleton).joints
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    place: list[int] = []
    for row, line in rows:
        if None in row or None in row.values():
            raise InputError(f"line {line}: expected {width} entries, as in the header")
        place.append(line)
        columns["image"].append(_unguarded(row["image"].strip()))
        for side in ("joint_a", "joint_b"):
            name = row[side].strip()
            columns[side].append(name if name in joints else canonical_joint_name(name))
        columns["label"].append(_number(row["label"], f"line {line}: label"))
        columns["confidence"].append(_number(row.get("confidence") or "1", f"line {line}: confidence"))
        columns["annotator"].append(_unguarded((row.get("annotator") or "").strip()))
        columns["time"].append(_seconds(row.get("time") or "nan", f"line {line}: time"))
    text = ("image", "joint_a", "joint_b", "annotator")
    try:
        arrays = {name: np.array(entries, str if name in text else float) for name, entries in columns.items()}
        return DepthLabels(**arrays, skeleton=skeleton)
    except InputError as error:
        # the row among the answers -> the line of the file
        raise InputError(
            re.sub(r"row (\d+)", lambda found: f"line {place[int(found[1])]}", str(error), count=1)
        ) from None


def _guarded(name: str) -> str:
    """A name with an apostrophe before it, where another program would not leave it as it is."""
    return f"'{name}" if _NO_TEXT.fullmatch(name) else name


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and _NO_TEXT.fullmatch(text[1:]) else text


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{what}: expected a number, found {describe(text)}") from None


def _seconds(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"{what}: expected seconds since 1970-01-01 UTC, for example 1700000000, or nothing where unknown, found "
            f"{describe(text)}"
        ) from None


def _decimal(value: np.float32) -> float:
    """The shortest decimal number that is this float32: 0.9 and not 0.8999999761581421."""
    return float(str(value))


def write_csv(labels: DepthLabels, path: str | os.PathLike[str]) -> None:
    """Write labels as CSV; `read_csv` gives the same back."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, "skeleton"])
    times = ["" if np.isnan(time) else repr(time) for time in labels.time.tolist()]
    confidences = map(_decimal, labels.confidence)
    columns = [getattr(labels, name).tolist() for name in ("joint_a", "joint_b", "label")]
    images, people = (list(map(_guarded, getattr(labels, name).tolist())) for name in ("image", "annotator"))
    writer.writerows(zip(images, *columns, confidences, people, times, [labels.skeleton] * len(images), strict=True))
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
