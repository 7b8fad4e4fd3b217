"""`poseterior annotate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from ._reading import FileOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..annotate.study import Study


@dataclass
class Annotate(FileOptions):
    """Ask people which of two joints is nearer the camera: a page in the browser, for one or many annotators.

    Answers are kept in the database at once; started again, the study goes on where it was. Nothing is uploaded.

    Examples: poseterior annotate photos --db labels.sqlite;
    poseterior annotate --db labels.sqlite --export labels.parquet
    """

    images: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Photographs, or folders of photographs."""
    keypoints: tuple[Path, ...] = ()
    """Keypoint files of any known format; a pose belongs to the photograph of its file's name. By default those beside
    the photographs, as poseterior lift finds them."""
    db: str = "labels.sqlite"
    """Database of the answers: an SQLite file, or an SQLAlchemy URL such as postgresql+psycopg://user@host/labels."""
    export: Path | None = None
    """Write the answers as a label store (.parquet) and end."""
    pairs: int = 5
    """Random pairs of joints per person."""
    answers: int = 5
    """Answers per pair, each from another annotator."""
    seed: int = 0
    """Seed of the pairs and of all orders."""
    gold: Path | None = None
    """Labels with known answers (.parquet): one question in ten is one of these."""
    host: str = "127.0.0.1"
    """Address to listen on; the default is this machine only, others need a token."""
    port: int = 8321
    """Port; 0 for any that is free."""
    token: bool = False
    """Who opens the page needs a secret, which is made up and printed in the address."""
    token_file: Path | None = None
    """The secret: a text file of one line, of 16 characters at least; or in the environment as POSETERIOR_TOKEN."""

    def run(self) -> None:
        from ..annotate import check_installed
        from ..files.writing import check_outputs

        check_installed()
        inputs = [
            path for path in (*self.images, *self.keypoints, self.gold, self.token_file) if path and not path.is_dir()
        ]
        if self.export is None:
            check_outputs({"--db": self.db}, inputs)
        else:
            check_outputs({"--export": self.export}, [*inputs, self.db])
        if self.export is not None:
            self._export(self.export)
            return
        import secrets

        from ..annotate.server import create_app, serve
        from ..web import find_token

        studies: list[Study] = []
        token, owner = find_token(self.token, self.token_file), secrets.token_urlsafe(24)

        def make_app() -> FastAPI:
            studies.append(self._open())
            return create_app(studies[0], token, owner)

        def ready(address: Callable[..., str]) -> None:
            self._welcome(studies[0], address(token), address(owner, "results"))

        serve(make_app, self.host, self.port, token, ready)
        print(f"the answers are in {studies[0].database.name}")

    def _open(self) -> Study:
        from ..annotate.database import Database
        from ..annotate.photos import find_keypoints, find_photos, match_people
        from ..annotate.study import open_study
        from ..data.labels.labels import load_labels
        from ..files.errors import InputError
        from ..keypoints.reading import read_keypoints

        if not self.images:
            raise InputError("no photographs are given: poseterior annotate IMAGES --keypoints FILE")
        photos = find_photos(self.images)
        if self.keypoints:
            keypoints = read_keypoints(self.keypoints, **self.reading())
        else:
            keypoints = find_keypoints(self.images, **self.reading())
        people = match_people(photos, keypoints)
        gold = None if self.gold is None else load_labels(self.gold)
        return open_study(
            Database(self.db), people, photos, keypoints.skeleton.name,
            pairs=self.pairs, answers=self.answers, seed=self.seed, gold=gold,
        )  # fmt: skip

    def _welcome(self, study: Study, address: str, results: str) -> None:
        from ..files.checks import counted

        given, wanted = study.progress()
        print(f"{counted(len(study.photos), 'photograph')}, {given:,} of {wanted:,} answers so far")
        print(f"annotate at {address} (Ctrl-C ends it)")
        print(f"results, with names and qualities, for you alone: {results}", flush=True)

    def _export(self, path: Path) -> None:
        from ..annotate.database import Database, labels_of
        from ..data.labels.labels import save_labels
        from ..files.checks import counted
        from ..files.errors import InputError
        from ._common import check_extension

        check_extension(path, "--export", (".parquet",))
        database = Database(self.db, create=False)
        settings = database.settings()
        if settings is None:
            raise InputError(f"--db {database.name}: holds no study; begin one with poseterior annotate IMAGES")
        with database.reading(), database.session() as session:
            labels = labels_of(session, settings.skeleton)
        save_labels(labels, path)
        names = len(set(labels.annotator.tolist()))
        print(f"wrote {path}: {len(labels):,} answers of {counted(names, 'annotator')}")
        print(f"next: poseterior labels merge {path} --out merged.parquet")
