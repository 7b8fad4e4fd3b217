"""The data sets that `poseterior data import` reads: one class per format, with the options that it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

if TYPE_CHECKING:
    from ..data.observations import ObservationSet

__all__ = ["Importer"]

UpAxis = Literal["y", "z", "x", "-y", "-z", "-x"]


# -- motion capture: a store to simulate from --------------------------------------------------------------


@dataclass(kw_only=True)
class _Mocap:
    """What all motion capture has in common."""

    format: ClassVar[str]

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Files, or folders that are searched below."""
    out: Path
    """Folder of the store."""
    units: str | None = None
    """Length unit of the files: m, cm, mm, in, ft or metres in one unit (default: what fits a leg)."""
    up: UpAxis | None = None
    """World axis that points up in the files (default: found from how the people stand)."""
    any_size: bool = False
    """Accept bodies whose leg is not 0.65 to 1.05 m long, such as small children."""
    subject: str | None = None
    """Name of the person, for all clips."""
    licence: str | None = None
    """Terms of the files and how to cite them, which the store and cards of weights repeat (default: if known)."""
    overwrite: bool = False
    """Replace an existing store."""
    append: bool = False
    """Add to an existing store."""
    skip_bad: bool = False
    """Leave out files that cannot be read, and list them at the end."""

    def _import(self, **options: Any) -> None:
        from ..data.mocap.importing import import_mocap
        from ..files.extras import need
        from ..files.writing import check_outputs

        need("parquet", "pyarrow", f"--out {self.out}:")
        check_outputs({"--out": self.out}, [*self.paths, getattr(self, "rest_skeleton", None)])
        report = import_mocap(
            self.paths, self.out, self.format, units=self.units, up=self.up, any_size=self.any_size,
            subject=self.subject, licence=self.licence, overwrite=self.overwrite, append=self.append,
            skip_bad=self.skip_bad, progress=True, **options,
        )  # fmt: skip
        print(report)
        print(f"next: poseterior data inspect {self.out}")


@dataclass(kw_only=True)
class Bvh(_Mocap):
    """BVH motion capture on any skeleton of a human: CMU, Mixamo, Rokoko, Xsens, Rigify, SMPL ...

    Example: poseterior data import bvh mocap/walks --out stores/walks
    """

    format = "bvh"

    rig: str | None = None
    """A shipped rig's name, or a YAML file of joint names (default: guessed; poseterior data rigs FILE shows how)."""
    fps: float | None = None
    """Frame rate, instead of what the files say (Blender writes 24)."""
    trunk: Literal["as-is", "mended"] = "mended"
    """Put back the trunk bone that CMU's BVH releases lack, or leave it."""
    first_frame: Literal["keep", "drop"] = "drop"
    """Drop a first frame that is a T-pose far from the second, as in CMU's BVH releases, or keep it."""

    def run(self) -> None:
        self._import(rig=self.rig, fps=self.fps, trunk=self.trunk, first_frame=self.first_frame)


@dataclass(kw_only=True)
class Gltf(_Mocap):
    """glTF 2.0 skeletons with their animation: .glb, or .gltf with its .bin; FBX files become such in Blender.

    Example: poseterior data import gltf dance.glb --out stores/dance
    """

    format = "gltf"

    rig: str | None = None
    """A shipped rig's name, or a YAML file of joint names (default: guessed; poseterior data rigs FILE shows how)."""
    fps: float | None = None
    """Frames a second to sample the animation at (default: its own)."""

    def run(self) -> None:
        self._import(rig=self.rig, fps=self.fps)


@dataclass(kw_only=True)
class AsfAmc(_Mocap):
    """ASF/AMC motion capture of CMU: .amc files with the .asf of their subject.

    Example: poseterior data import asfamc cmu/asfamc --out stores/cmu --append
    """

    format = "asfamc"

    fps: float | None = None
    """Frame rate of the files, which do not say it (default 120)."""

    def run(self) -> None:
        self._import(fps=self.fps)


@dataclass(kw_only=True)
class Amass(_Mocap):
    """AMASS: .npz files of SMPL bodies, or its archives as they are downloaded (.tar.bz2), which are not unpacked.

    Example: poseterior data import amass CMU.tar.bz2 --out stores/amass
    """

    format = "amass"

    rest_skeleton: Path | None = None
    """.npz with another body's joints at rest, `p3d0`, as Duenkel et al. 2024 share it (default: our own body)."""

    def run(self) -> None:
        self._import(rest_skeleton=self.rest_skeleton)


# -- data sets with pictures: observations as they are -----------------------------------------------------


@dataclass(kw_only=True)
class _Observed:
    """What all data sets that become observations have in common."""

    out: Path
    """Parquet file of observations."""
    overwrite: bool = False
    """Replace an existing file."""

    def _inputs(self) -> list[Path | None]:
        raise NotImplementedError

    def _read(self) -> ObservationSet:
        raise NotImplementedError

    def run(self) -> None:
        from ..data.observations import save_observations
        from ..files.errors import InputError
        from ..files.writing import check_outputs
        from ._common import check_extension

        check_extension(self.out, "--out", (".parquet",))
        check_outputs({"--out": self.out}, self._inputs())
        if self.out.exists() and not self.overwrite:
            raise InputError(f"--out {self.out}: exists already; pass --overwrite, or choose another file")
        data = self._read()
        save_observations(data, self.out)
        with_3d = int(data.observations.observed.any(-1).sum())
        told = f"{len(data)} images without 3D poses" if with_3d == 0 else f"{len(data)} poses"
        if 0 < with_3d < len(data):
            told += f", {with_3d} of them with 3D"
        print(f"wrote {self.out}: {told}, protocol {data.protocol}")


@dataclass(kw_only=True)
class H36m(_Observed):
    """Human3.6M with the detections and heatmap fits that Wehrbein et al. (ICCV 2021) published.

    Example: poseterior data import h36m FOLDER --detections PICKLE --split train --out train.parquet
    """

    path: tyro.conf.Positional[Path]
    """The folder that holds S1, S5 ... with the CDF files of 3D positions; or the merged pickle, which has them."""
    split: Literal["train", "test", "test-hard"]
    """S1, S5-S8; S9, S11; those test frames on which the detector was unsure."""
    detections: Path | None = None
    """Pickle of the detections without 3D poses, for a folder."""

    def _inputs(self) -> list[Path | None]:
        return [self.path, self.detections]

    def _read(self) -> ObservationSet:
        from ..data.sets.h36m import read_h36m
        from ..files.errors import InputError

        if self.path.is_dir() and self.detections is None:
            raise InputError(
                f"{self.path}: the CDF files hold no 2D keypoints; pass the pickle of the detections as --detections"
            )
        if not self.path.is_dir() and self.detections is not None:
            raise InputError(f"{self.path}: with --detections, name the folder of the CDF files that holds S1, S5 ...")
        return read_h36m(self.detections or self.path, None if self.detections is None else self.path, self.split)

    def run(self) -> None:
        super().run()
        train = f"poseterior train flow-published-h36m data.observations={self.out}"
        print(f"next: {train if self.split == 'train' else f'poseterior evaluate WEIGHTS --data {self.out}'}")


@dataclass(kw_only=True)
class H36mH5(_Observed):
    """Human3.6M as the HDF5 files of the 3D pose baseline (Martinez et al., ICCV 2017).

    Example: poseterior data import h36m-h5 FOLDER --split test --detections sh --out test.parquet
    """

    folder: tyro.conf.Positional[Path]
    """The folder that holds cameras.h5, S1, S5 ..."""
    split: Literal["train", "test"]
    """S1, S5-S8; S9, S11."""
    detections: Literal["none", "sh"] = "none"
    """Exact projections, or what the fine-tuned stacked hourglass found."""
    every: int = 1
    """Take every n-th frame."""

    def _inputs(self) -> list[Path | None]:
        return [self.folder]

    def _read(self) -> ObservationSet:
        from ..data.sets.h36m_h5 import read_h36m_h5

        return read_h36m_h5(self.folder, self.split, self.detections, self.every)


@dataclass(kw_only=True)
class H36mNpz(_Observed):
    """Human3.6M as the npz files of VideoPose3D (Pavllo et al., CVPR 2019).

    Example: poseterior data import h36m-npz FOLDER --detections cpn_ft_h36m_dbb --split test --every 64
    --out test.parquet
    """

    folder: tyro.conf.Positional[Path]
    """The folder that holds data_3d_h36m.npz and data_2d_h36m_gt.npz."""
    split: Literal["train", "test"]
    """S1, S5-S8; S9, S11."""
    detections: str = "gt"
    """gt (exact projections), or DETECTIONS of a file data_2d_h36m_DETECTIONS.npz."""
    every: int = 1
    """Take every n-th frame."""

    def _inputs(self) -> list[Path | None]:
        return [self.folder]

    def _read(self) -> ObservationSet:
        from ..data.sets.h36m_npz import read_h36m_npz

        return read_h36m_npz(self.folder, self.split, self.detections, self.every)


@dataclass(kw_only=True)
class MpiInf3dhp(_Observed):
    """The test set of MPI-INF-3DHP (Mehta et al., 3DV 2017).

    Example: poseterior data import mpi-inf-3dhp FOLDER --out 3dhp.parquet
    """

    folder: tyro.conf.Positional[Path]
    """The folder that holds TS1 to TS6."""
    every: int = 1
    """Take every n-th frame."""

    def _inputs(self) -> list[Path | None]:
        return [self.folder]

    def _read(self) -> ObservationSet:
        from ..data.sets.mpi_inf_3dhp import read_mpi_inf_3dhp

        return read_mpi_inf_3dhp(self.folder, self.every)


@dataclass(kw_only=True)
class ThreeDPW(_Observed):
    """3D Poses in the Wild (von Marcard et al., ECCV 2018).

    Example: poseterior data import 3dpw FOLDER --split test --out 3dpw.parquet
    """

    folder: tyro.conf.Positional[Path]
    """The folder that holds sequenceFiles."""
    split: Literal["train", "validation", "test"]
    """The data set's own."""
    detections: Literal["openpose", "none"] = "openpose"
    """What OpenPose found, or exact projections."""
    every: int = 1
    """Take every n-th frame."""

    def _inputs(self) -> list[Path | None]:
        return [self.folder]

    def _read(self) -> ObservationSet:
        from ..data.sets.three_dpw import read_3dpw

        return read_3dpw(self.folder, self.split, self.detections, self.every)


@dataclass(kw_only=True)
class Lsp(_Observed):
    """Leeds Sports Pose, or LSP extended: keypoints of photographs, without 3D poses.

    Example: poseterior data import lsp FOLDER --split train --out lsp.parquet
    """

    folder: tyro.conf.Positional[Path]
    """The folder that holds joints.mat and images."""
    split: Literal["train", "test", "all"]
    """The first or the last thousand images, or all; LSP extended is all for training."""

    def _inputs(self) -> list[Path | None]:
        return [self.folder]

    def _read(self) -> ObservationSet:
        from ..data.sets.lsp import read_lsp

        return read_lsp(self.folder, self.split)


@dataclass(kw_only=True)
class YuH5(_Observed):
    """The HDF5 files of Yu et al. (ICCV 2021): Human3.6M, MPI-INF-3DHP or LSP, one file per split.

    Example: poseterior data import yu-h5 h36m_train_pred3.h5 --detections pre --out train.parquet
    """

    file: tyro.conf.Positional[Path]
    """The file of one split, whose name begins with h36m, mpi, 3dhp or lsp."""
    detections: Literal["gt", "pre"] = "gt"
    """The true keypoints, or those that a detector found."""

    def _inputs(self) -> list[Path | None]:
        return [self.file]

    def _read(self) -> ObservationSet:
        from ..data.sets.yu_h5 import read_yu_h5

        return read_yu_h5(self.file, self.detections)


Importer = (
    Annotated[Bvh, tyro.conf.subcommand(name="bvh")]
    | Annotated[Gltf, tyro.conf.subcommand(name="gltf")]
    | Annotated[AsfAmc, tyro.conf.subcommand(name="asfamc")]
    | Annotated[Amass, tyro.conf.subcommand(name="amass")]
    | Annotated[H36m, tyro.conf.subcommand(name="h36m")]
    | Annotated[H36mH5, tyro.conf.subcommand(name="h36m-h5")]
    | Annotated[H36mNpz, tyro.conf.subcommand(name="h36m-npz")]
    | Annotated[MpiInf3dhp, tyro.conf.subcommand(name="mpi-inf-3dhp")]
    | Annotated[ThreeDPW, tyro.conf.subcommand(name="3dpw")]
    | Annotated[Lsp, tyro.conf.subcommand(name="lsp")]
    | Annotated[YuH5, tyro.conf.subcommand(name="yu-h5")]
)
