"""`poseterior weights import|export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


@dataclass
class Import:
    """Take in weights that somebody trained with the original code of a paper.

    Nothing in the files is run. Every tensor is checked by name and shape; a file of another network is refused.

    Example: poseterior weights import ronchi_2018 test_ckpt_last.pth.tar --out runs/ronchi
    """

    system: tyro.conf.Positional[Literal["wehrbein_2021", "duenkel_2024", "ronchi_2018", "yu_2021", "li_lee_2019"]]
    """Whose code wrote the files."""
    files: tyro.conf.Positional[tuple[Path, ...]]
    """The checkpoint; for duenkel_2024 those of density, feature extractor and orders of joints; for li_lee_2019 the
    .index."""
    out: Path
    """A new folder for the lifter."""
    data: Path | None = None
    """Observations (.parquet) of the split, for constants that the files do not hold (yu_2021, li_lee_2019)."""
    card: Path | None = None
    """JSON object of what is known of the weights (description, licence, citation ...); goes into the card, but for
    'imported' and 'protocols', which the import itself says."""

    def run(self) -> None:
        from ..data.observations import load_observations
        from ..files.errors import InputError
        from ..files.writing import check_folder, check_outputs
        from ..published.originals.importing import import_weights, refuse_unread

        check_outputs({"--out": self.out}, [*self.files, self.data, self.card])
        if self.out.exists():
            raise InputError(f"{self.out}: exists already; choose a new folder")
        check_folder(self.out)
        refuse_unread(self.system, self.data)
        told = {} if self.card is None else _card(self.card)
        observations = None if self.data is None else load_observations(self.data).observations
        model = import_weights(self.system, self.files, observations, self.data or "observations")
        model.card |= told
        model.save_pretrained(self.out)
        parameters = sum(p.numel() for p in model.parameters())
        print(f"wrote {self.out}: {model.name}, {parameters:,} parameters, licence {model.card['licence']}")


def _card(path: Path) -> dict[str, Any]:
    """What a user knows of weights, but for what the import says of them.

    Raises:
        InputError: names the file and the field.
    """
    from ..files.checks import describe
    from ..files.errors import InputError
    from ..lifters.saved import read_json

    told = read_json(path)
    for name in ("imported", "protocols"):
        if name in told:
            raise InputError(f"{path}: {name!r} is what the import itself says of the weights; leave it out")
    for name in ("name", "description", "licence", "citation"):
        if name in told and not isinstance(told[name], str):
            raise InputError(f"{path}: {name!r}: expected text, found {describe(told[name])}")
    return told


@dataclass
class Export:
    """Write weights of ours as the original code's checkpoint, so that they can be used with that code.

    Example: poseterior weights export wehrbein_2021 runs/flow-published --out original_model
    """

    system: tyro.conf.Positional[Literal["wehrbein_2021", "duenkel_2024", "ronchi_2018", "yu_2021", "li_lee_2019"]]
    """Whose code shall read them."""
    weights: tyro.conf.Positional[str]
    """Folder of a lifter or prior of the system's published method, or of its run."""
    out: Path
    """A new folder for the checkpoint's files."""

    def run(self) -> None:
        from ..lifters.base import load_model
        from ..published.originals.exporting import export_weights
        from ._common import weights_of

        names = export_weights(self.system, load_model(weights_of(self.weights)), self.out)
        print(f"wrote {self.out}: {', '.join(names)}")


@dataclass
class Weights:
    """Weights of the original code of the papers: take them in, or write them."""

    command: (
        Annotated[Import, tyro.conf.subcommand(name="import")] | Annotated[Export, tyro.conf.subcommand(name="export")]
    )

    def run(self) -> None:
        self.command.run()
