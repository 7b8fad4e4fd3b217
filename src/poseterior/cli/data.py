"""`poseterior data import|inspect|simulate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ..data.observations import ObservationSet


@dataclass
class Import:
    """Import motion capture into a pose store (a folder of Parquet files); the others into observations.

    Examples: poseterior data import bvh mocap/walks --out stores/walks;
    poseterior data import h36m FOLDER --detections PICKLE --split train --out train.parquet;
    poseterior data import lsp LSP_FOLDER --split train --out lsp.parquet;
    poseterior data import yu-h5 h36m_train_pred3.h5 --detections pre --out train.parquet;
    poseterior data import h36m-npz FOLDER --detections cpn_ft_h36m_dbb --split test --every 64 --out test.parquet;
    poseterior data import mpi-inf-3dhp FOLDER --out 3dhp.parquet;
    poseterior data import 3dpw FOLDER --split test --out 3dpw.parquet
    """

    format: tyro.conf.Positional[
        Literal["bvh", "asfamc", "amass", "h36m", "h36m-h5", "h36m-npz", "mpi-inf-3dhp", "3dpw", "lsp", "yu-h5"]
    ]
    """Format of the files."""
    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Files, or folders that are searched below; h36m: the folder that holds S1, S5 ..., or the merged pickle;
    h36m-h5: the folder that holds cameras.h5, S1, S5 ...; h36m-npz: the folder that holds data_3d_h36m.npz and
    data_2d_h36m_gt.npz; mpi-inf-3dhp: the folder that holds TS1 to TS6; 3dpw: the folder that holds sequenceFiles;
    lsp: the folder that holds joints.mat and images; yu-h5: the file of one split, whose name begins with h36m, mpi,
    3dhp or lsp."""
    out: Path
    """Folder of the store; h36m and all formats after it: Parquet file of observations."""
    units: str | None = None
    """Length unit of the files: m, cm, mm, in or ft (default: what the source is known to use)."""
    up: Literal["y", "z"] | None = None
    """World axis that points up in the files."""
    fps: float | None = None
    """Frame rate of AMC files, which do not say it (default 120)."""
    subject: str | None = None
    """Name of the person, for all clips."""
    overwrite: bool = False
    """Replace an existing store."""
    append: bool = False
    """Add to an existing store."""
    skip_bad: bool = False
    """Leave out files that cannot be read, and list them at the end."""
    detections: Path | None = None
    """h36m: pickle of the published 2D detections without 3D poses; h36m-h5: none (exact projections) or sh;
    h36m-npz: gt (exact projections), or DETECTIONS of a file data_2d_h36m_DETECTIONS.npz; 3dpw: openpose or none
    (exact projections); yu-h5: gt or pre."""
    split: Literal["train", "validation", "test", "test-hard"] | None = None
    """h36m, h36m-h5, h36m-npz: S1, S5-S8; S9, S11; h36m: those test frames on which the detector was unsure; 3dpw: its
    own three; lsp: first or last thousand images."""
    every: int | None = None
    """h36m-h5, h36m-npz, mpi-inf-3dhp, 3dpw: take every n-th frame (default 1)."""

    def run(self) -> None:
        from ..data.mocap.importing import import_mocap

        into_observations = {
            "h36m": self._import_h36m,
            "h36m-h5": self._import_h36m_h5,
            "h36m-npz": self._import_h36m_npz,
            "mpi-inf-3dhp": self._import_mpi_inf_3dhp,
            "3dpw": self._import_3dpw,
            "lsp": self._import_lsp,
            "yu-h5": self._import_yu_h5,
        }
        if self.format in into_observations:
            into_observations[self.format]()
            return
        self._refuse(("detections", "split", "every"), f"{self.format} has none; it is for h36m")
        report = import_mocap(
            self.paths, self.out, self.format, units=self.units, up=self.up, fps=self.fps, subject=self.subject,
            overwrite=self.overwrite, append=self.append, skip_bad=self.skip_bad, progress=True,
        )  # fmt: skip
        print(report)
        print(f"next: poseterior data inspect {self.out}")

    def _refuse(self, options: tuple[str, ...], reason: str) -> None:
        from ..files.errors import InputError

        for option in options:
            if getattr(self, option) not in (None, False):
                raise InputError(f"--{option.replace('_', '-')}: {reason}")

    def _check_observations(self, expected: str, splits: tuple[str, ...]) -> Path:
        """The one path of a format that becomes a file of observations."""
        from ..files.errors import InputError
        from ._common import check_extension

        self._refuse(
            ("units", "up", "fps", "subject", "append", "skip_bad"), f"not for {self.format}, where it is fixed"
        )
        check_extension(self.out, "--out", (".parquet",))
        if len(self.paths) != 1:
            raise InputError(f"{self.format}: expected one path: {expected}")
        if splits and self.split not in splits:
            raise InputError(f"--split: expected {', '.join(splits[:-1])} or {splits[-1]}")
        if self.out.exists() and not self.overwrite:
            raise InputError(f"--out {self.out}: exists already; pass --overwrite, or choose another file")
        return self.paths[0]

    @property
    def _step(self) -> int:
        return 1 if self.every is None else self.every

    def _write(self, data: ObservationSet) -> None:
        from ..data.observations import save_observations

        save_observations(data, self.out)
        print(f"wrote {self.out}: {len(data)} poses, protocol {data.protocol}")

    def _import_lsp(self) -> None:
        from ..data.observations import save_observations
        from ..data.sets.lsp import read_lsp

        self._refuse(("detections", "every"), "lsp has none; it is for h36m-h5")
        folder = self._check_observations("the folder that holds joints.mat and images", ("train", "test"))
        data = read_lsp(folder, str(self.split))
        save_observations(data, self.out)
        print(f"wrote {self.out}: {len(data)} images without 3D poses, protocol {data.protocol}")

    def _import_yu_h5(self) -> None:
        from ..data.observations import save_observations
        from ..data.sets.yu_h5 import read_yu_h5

        self._refuse(("split", "every"), "not for yu-h5, where a file is a split")
        path = self._check_observations("the .h5 file of one split", ())
        data = read_yu_h5(path, str(self.detections or "gt"))
        save_observations(data, self.out)
        with_3d = int(data.observations.observed.any(-1).sum())
        print(f"wrote {self.out}: {len(data)} poses, {with_3d} of them with 3D, protocol {data.protocol}")

    def _import_h36m_h5(self) -> None:
        from ..data.sets.h36m_h5 import read_h36m_h5

        folder = self._check_observations("the folder that holds cameras.h5, S1, S5 ...", ("train", "test"))
        data = read_h36m_h5(folder, str(self.split), str(self.detections or "none"), self._step)
        self._write(data)

    def _import_h36m_npz(self) -> None:
        from ..data.sets.h36m_npz import read_h36m_npz

        folder = self._check_observations(
            "the folder that holds data_3d_h36m.npz and data_2d_h36m_gt.npz", ("train", "test")
        )
        data = read_h36m_npz(folder, str(self.split), str(self.detections or "gt"), self._step)
        self._write(data)

    def _import_mpi_inf_3dhp(self) -> None:
        from ..data.sets.mpi_inf_3dhp import read_mpi_inf_3dhp

        self._refuse(("detections", "split"), "mpi-inf-3dhp has none; only its test set is read")
        folder = self._check_observations("the folder that holds TS1 to TS6", ())
        data = read_mpi_inf_3dhp(folder, self._step)
        self._write(data)

    def _import_3dpw(self) -> None:
        from ..data.sets.three_dpw import read_3dpw

        folder = self._check_observations("the folder that holds sequenceFiles", ("train", "validation", "test"))
        data = read_3dpw(folder, str(self.split), str(self.detections or "openpose"), self._step)
        self._write(data)

    def _import_h36m(self) -> None:
        from ..data.sets.h36m import read_h36m
        from ..files.errors import InputError

        self._refuse(("every",), "is for h36m-h5")
        path = self._check_observations(
            "the folder that holds S1, S5 ..., or the merged pickle", ("train", "test", "test-hard")
        )
        if path.is_dir() and self.detections is None:
            raise InputError(
                f"{path}: the CDF files hold no 2D keypoints; pass the pickle of the detections as --detections"
            )
        if not path.is_dir() and self.detections is not None:
            raise InputError(f"{path}: with --detections, name the folder of the CDF files that holds S1, S5 ...")
        folder = None if self.detections is None else path
        data = read_h36m(self.detections or path, folder, str(self.split))
        self._write(data)
        train = f"poseterior train flow-published-h36m data.observations={self.out}"
        print(f"next: {train if self.split == 'train' else f'poseterior evaluate WEIGHTS --data {self.out}'}")


@dataclass
class Inspect:
    """Show what a pose store holds: clips, frames, subjects, hours, bone lengths, and a picture of poses."""

    store: tyro.conf.Positional[Path]
    """Folder of the store."""
    png: Path | None = None
    """Where the picture of random poses goes (default STORE.png beside the store)."""
    poses: int = 12
    """Poses in the picture."""
    seed: int = 0
    """Seed of the choice."""

    def run(self) -> None:
        from rich.console import Console

        from ..data.mocap.inspection import inspect_store, save_figure

        tables, figure = inspect_store(self.store, poses=self.poses, seed=self.seed)
        console = Console()
        for table in tables:
            console.print(table)
        png = self.png or self.store.with_name(f"{self.store.name}.png")
        save_figure(figure, png)
        print(f"wrote {png}")


@dataclass
class Simulate:
    """Turn a store into fixed observations, saved so that every lifter sees the same input.

    Protocols: cmu-test, cmu-clean, cmu-occluded, bandai-cross, simulated, cmu-motion, cmu-bodies, and the sweeps of
    `poseterior bench`: masks-*, noise-*, pitch-*, fov-*.
    """

    store: tyro.conf.Positional[Path]
    """Folder of the store."""
    protocol: str
    """Name of the protocol."""
    out: Path
    """Parquet file."""
    limit: int | None = None
    """Take this many frames, evenly spread, instead of all."""

    def run(self) -> None:
        from ..data.observations import save_observations
        from ..data.simulation.protocols import simulate
        from ._common import check_extension

        check_extension(self.out, "--out", (".parquet",))
        data = simulate(self.store, self.protocol, self.limit)
        save_observations(data, self.out)
        print(f"wrote {self.out}: {len(data)} poses, protocol {data.protocol}, seed {data.seed}")


@dataclass
class Data:
    """Import, inspect and observe motion capture."""

    command: (
        Annotated[Import, tyro.conf.subcommand(name="import")]
        | Annotated[Inspect, tyro.conf.subcommand(name="inspect")]
        | Annotated[Simulate, tyro.conf.subcommand(name="simulate")]
    )

    def run(self) -> None:
        self.command.run()
