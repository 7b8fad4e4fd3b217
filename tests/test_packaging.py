"""What is published: metadata, what the wheel and the source archive hold, and that nothing is missing or idle."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

import poseterior

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "poseterior"
#: What is imported by another name than it is installed by.
IMPORTED_AS = {
    "crowd-kit": "crowdkit", "imageio-ffmpeg": "imageio_ffmpeg", "pillow": "PIL", "pot": "ot", "pyyaml": "yaml",
}  # fmt: skip
#: Needed without an import of ours: Lightning's TensorBoardLogger asks for it.
INDIRECT = {"tensorboard"}
#: Imported, but brought along by what is named (crowd-kit, matplotlib, fastapi), or for type checkers only.
BROUGHT = {"pandas", "mpl_toolkits", "pydantic", "typing_extensions"}


def run_hook(source: Path, hook: str, out: Path) -> Path:
    """Call setuptools' own build hook in a copy of the source, as pip and build do."""
    code = f"from setuptools import build_meta; build_meta.{hook}({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What version control holds, without what lies about."""
    folder = tmp_path_factory.mktemp("source") / "poseterior"
    ignored = shutil.ignore_patterns(
        "__pycache__", "*.egg-info", ".git", ".venv", "venv", "build", "dist", "site", ".*_cache"
    )
    shutil.copytree(ROOT, folder, ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_hook(source, "build_wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_hook(source, "build_sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def shipped_files() -> set[str]:
    """Everything below src/poseterior that is no cache."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"poseterior/{path.relative_to(PACKAGE).as_posix()}" for path in files}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == shipped_files()
    for needed in (
        "py.typed", "geometry/body.json", "examples/demo.json", "examples/astronaut.jpg", "recipes/mdn.yaml",
        "annotate/static/annotate.html", "annotate/static/annotate.js", "view/report/page.html", "view/report/page.css",
        *(f"weights/{name}/{file}" for name in poseterior.list_shipped() for file in
          ("config.json", "model.safetensors", "card.json", "calibration.json")),
    ):  # fmt: skip
        assert f"poseterior/{needed}" in names, needed
    assert not {name for name in names if re.search(r"test|\.bvh$|\.amc$|\.parquet$|\.pyc$", name)}


def test_the_wheel_fits_on_pypi(wheel: Path) -> None:
    assert wheel.stat().st_size < 100e6  # PyPI's limit for a file


def test_the_source_archive_can_be_built_and_tested(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in (
        "pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE", "constraints.txt",
        "mkdocs.yml", "docs/index.md", "docs/demo.png", "docs/generate.py", "tests/conftest.py", "tests/test_face.py",
        "benchmarks/pictures.py", ".ci/run",
    ):  # fmt: skip
        assert needed in names, needed
    assert {f"src/{name}" for name in shipped_files()} <= names
    assert not {name for name in names if name.endswith(".pyc") or "__pycache__" in name}


def test_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "poseterior"
    assert metadata["Version"] == poseterior.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL"))
    assert list(urls) == ["Homepage", "Documentation", "Source", "Changelog", "Issues"]
    assert all(url.startswith(urls["Homepage"]) for url in urls.values())
    classifiers = metadata.get_all("Classifier")
    assert "Typing :: Typed" in classifiers
    assert not [c for c in classifiers if c.startswith("License ::")]  # the expression says it
    lowest = metadata["Requires-Python"].removeprefix(">=")
    versions = [
        c.rsplit(" ", 1)[1] for c in classifiers if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", c)
    ]
    assert versions[0] == lowest
    assert "poseterior = poseterior.cli:main" in (ROOT / "pyproject.toml").read_text().replace('"', "")


def test_the_version_stands_in_one_place() -> None:
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()
    assert f"\nversion: {poseterior.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {poseterior.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def requirements(metadata: Message) -> tuple[set[str], set[str]]:
    """Distributions that are always installed, and those of the extras that users choose."""
    always, chosen = set(), set()
    for requirement in metadata.get_all("Requires-Dist"):
        name = re.match(r"[\w-]+", requirement)
        extra = re.search(r"""extra == ['"](\w+)['"]""", requirement)
        assert name
        if extra is None:
            always.add(name[0].lower())
        elif extra[1] not in ("test", "docs"):
            chosen.add(name[0].lower())
    return always, chosen


def imported() -> dict[str, set[str]]:
    """Third-party modules that the package imports, and where."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names and top != "poseterior":
                    found.setdefault(top, set()).add(path.relative_to(ROOT).as_posix())
    return found


def test_every_import_is_declared_and_every_dependency_imported(metadata: Message) -> None:
    always, chosen = requirements(metadata)
    modules = {name: IMPORTED_AS.get(name, name.replace("-", "_")) for name in always | chosen}
    used = imported()
    assert set(used) - set(modules.values()) - BROUGHT == set()
    idle = {name for name in always if modules[name] not in used} - INDIRECT
    assert not idle
    assert "pybvh" not in always | chosen


def test_versions_are_pinned(metadata: Message) -> None:
    """Everything that pyproject.toml names has a version in constraints.txt that it allows."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {re.split(r"[=;]", line)[0].lower(): line for line in lines if not line.startswith("#")}
    for requirement in metadata.get_all("Requires-Dist"):
        name = re.match(r"[\w-]+", requirement)
        assert name
        assert name[0].lower() in pinned, requirement
        assert "==" in pinned[name[0].lower()]


@pytest.mark.slow
def test_an_empty_environment_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    """pip install of the wheel, then `poseterior demo`: two minutes and 1.5 GB."""

    def run(*command: object) -> str:
        done = subprocess.run([str(c) for c in command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", "empty")
    bin = tmp_path / "empty" / "bin"
    run(bin / "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel)
    assert run(bin / "poseterior", "--version") == f"poseterior {poseterior.__version__}\n"
    out = run(bin / "poseterior", "demo")
    assert "left_ankle" in out
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"poses.parquet", "scene.html", "summary.png"}
    where = run(bin / "python", "-c", "import poseterior; print(poseterior.__file__)")
    assert where.startswith(str(tmp_path / "empty"))
