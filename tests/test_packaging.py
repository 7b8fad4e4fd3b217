"""What is published: metadata, what the wheel and the source archive hold, and that nothing is missing or idle."""

from __future__ import annotations

import ast
import importlib.metadata
import os
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
    "imageio-ffmpeg": "imageio_ffmpeg", "pillow": "PIL", "pot": "ot", "pyyaml": "yaml", "usd-core": "pxr",
}  # fmt: skip
#: What only some users need: heavy, or under terms that not everybody can accept.
OPTIONAL = {"lightning", "tensorboard", "viser", "trimesh", "pyarrow", "fastapi", "smplx", "imageio-ffmpeg"}
#: Modules that import an extra's package when they are imported; only what has asked `files.extras.need` imports them.
BEHIND_A_CHECK = (
    "annotate/",
    *(f"training/{name}.py" for name in ("checkpoints", "interrupts", "keeping", "logs", "module", "progress", "run")),
)
#: Imported, but brought along by what is named (matplotlib, fastapi, viser), or for type checkers only.
BROUGHT = {"mpl_toolkits", "pydantic", "typing_extensions", "websockets"}


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
        "benchmarks/pictures.py", "benchmarks/install_size.py", ".ci/run", "tests/documents.py", "tests/added_files.py",
        "tests/golden/shipped_0.2.npz",
    ):  # fmt: skip
        assert needed in names, needed
    assert {f"src/{name}" for name in shipped_files()} <= names
    whole = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*") if path.is_file()}
    assert {name for name in whole if "__pycache__" not in name} <= names
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
    idle = {name for name in always if modules[name] not in used}
    assert not idle
    assert not OPTIONAL & always
    assert "pybvh" not in always | chosen


def imported_at_once(tree: ast.Module) -> set[str]:
    """Third-party modules that a module imports when it is imported itself: not in functions, not for type checkers."""
    names: set[str] = set()
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            todo += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return names


def test_packages_of_extras_are_imported_where_they_are_used(metadata: Message) -> None:
    """So that lifting works without them; tests/cli/test_light_install.py runs it."""
    always, chosen = requirements(metadata)
    extra = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in chosen - always} | {"websockets", "pandas"}
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(BEHIND_A_CHECK):
            assert not imported_at_once(ast.parse(path.read_text())) & extra, place


def plain(name: str) -> str:
    """A distribution's name as package indexes compare them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_for(wanted: list[str]) -> dict[str, importlib.metadata.Distribution]:
    """What is installed of these requirements, of what they require, and so on.

    NVIDIA's libraries, which torch brings on machines with a GPU, are left out: which they are is torch's choice.
    """
    requirement = pytest.importorskip("packaging.requirements").Requirement
    found: dict[str, importlib.metadata.Distribution] = {}
    todo, done = [requirement(text) for text in wanted], set()
    while todo:
        asked = todo.pop()
        name = plain(asked.name)
        if name.startswith(("nvidia-", "cuda-", "triton")):
            continue
        try:
            found[name] = importlib.metadata.distribution(asked.name)
        except importlib.metadata.PackageNotFoundError:
            continue
        for extra in ("", *sorted(asked.extras)):
            if (name, extra) not in done:
                done.add((name, extra))
                for text in found[name].requires or []:
                    needed = requirement(text)
                    if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                        todo.append(needed)
    return found


def required(metadata: Message, *extras: str) -> list[str]:
    """Requirements without an extra, and those of some extras, as they are written but for the extra's name."""
    texts = [text.partition(";") for text in metadata.get_all("Requires-Dist")]
    of_extra = [(head, re.search(r"""extra == ['"](\w+)['"]""", marker)) for head, _, marker in texts]
    return [head for head, extra in of_extra if extra is None or extra[1] in extras]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {plain(re.split(r"[=;]", line)[0]): line for line in lines if not line.startswith("#")}


def test_versions_are_pinned(metadata: Message) -> None:
    """Everything that pyproject.toml names has a version in constraints.txt that it allows."""
    specifier = pytest.importorskip("packaging.specifiers").SpecifierSet
    pinned = pins()
    for requirement in metadata.get_all("Requires-Dist"):
        parts = re.match(r"([\w-]+)(?:\[\w+\])?([^;]*)", requirement)
        assert parts
        version = re.search(r"==([^;]+)", pinned[plain(parts[1])])
        assert version, requirement
        assert version[1] in specifier(parts[2]), requirement


def test_everything_that_is_installed_is_pinned(metadata: Message) -> None:
    """Also what the dependencies require: a release of theirs cannot break the tests from one day to the next."""
    everything = installed_for(required(metadata, "test", "docs"))
    assert len(everything) > 60
    if os.environ.get("CI"):  # a new environment: nothing else may be in it
        everything = {plain(d.metadata["Name"]): d for d in importlib.metadata.distributions()}
    assert sorted(set(everything) - set(pins()) - {"pip", "poseterior"}) == []


#: Licences under which the base installation may be used and passed on for any purpose, commercial ones too, without
#: giving away one's own source: SPDX names, and what older metadata call them.
FREE = {
    "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MIT", "MIT-CMU", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "BSL-1.0",
    "PSF-2.0", "Python-2.0", "ISC", "Zlib", "CC0-1.0", "Unlicense", "HPND",
    "MIT License", "BSD License", "BSD", "Apache Software License", "Apache 2.0", "Python Software Foundation License",
    "ISC License (ISCL)", "3-Clause BSD License",
}  # fmt: skip
#: Extras that are not as free, which the README names.
LESS_FREE = {"smplx": "non-commercial", "imageio-ffmpeg": "GPL"}


#: Metadata that give a whole text instead of a name, which was read.
READ = {"cdflib": "MIT"}


def licences(distribution: importlib.metadata.Distribution) -> set[str]:
    """The licences that apply, by the best of three places; of a choice (OR) the first."""
    about = distribution.metadata
    if expression := about.get("License-Expression"):
        return {part.partition(" OR ")[0].strip("() ") for part in expression.split(" AND ")}
    kinds = [kind.rsplit(" :: ", 1)[1] for kind in about.get_all("Classifier", []) if kind.startswith("License :: ")]
    if kinds:
        return {kind for kind in kinds if kind != "OSI Approved"}
    if known := READ.get(plain(about.get("Name") or "")):
        return {known}
    return {part.strip() for part in (about.get("License") or "none said").split(" AND ")}


def test_the_base_installation_is_free_for_every_use(metadata: Message) -> None:
    found = {name: licences(d) for name, d in installed_for(required(metadata)).items()}
    assert {"torch", "numpy", "roma", "zuko", "matplotlib", "pillow", "tyro", "rich"} <= set(found)
    assert {name: kinds - FREE for name, kinds in found.items() if not kinds <= FREE} == {}


def test_the_extras_that_are_less_free_are_named_where_one_installs_them(metadata: Message) -> None:
    chosen = {"annotate", "emd", "gltf", "h36m", "lsp", "parquet", "smplx", "train", "video", "view"}
    found = installed_for(required(metadata, *chosen))
    # MPL: passed on as it is (a list of certificates, a progress bar) it asks for nothing
    kinds = FREE | {"MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"}
    strange = {name for name, d in found.items() if not licences(d) <= kinds}
    assert strange <= set(LESS_FREE)  # that of imageio-ffmpeg is BSD, but not that of the program within
    for page in ("README.md", "docs/get-started.md"):
        text = (ROOT / page).read_text()
        for name, words in LESS_FREE.items():
            lines = [line for line in text.splitlines() if f"`{name}`" in line and words in line]
            assert lines, (page, name)


def test_the_example_licence_expressions() -> None:
    class Said(importlib.metadata.PathDistribution):
        def __init__(self, **fields: str) -> None:
            self.fields = Message()
            for name, value in fields.items():
                self.fields[name.replace("_", "-")] = value

        @property
        def metadata(self) -> Message:  # type: ignore[override]
            return self.fields

    assert licences(Said(License_Expression="MIT AND (Apache-2.0 OR GPL-2.0-only)")) == {"MIT", "Apache-2.0"}
    assert licences(Said(Classifier="License :: OSI Approved :: MIT License")) == {"MIT License"}
    assert licences(Said(License="GPL-3.0")) == {"GPL-3.0"}
    assert not licences(Said(License="UNKNOWN")) <= FREE
    assert not licences(Said()) <= FREE


def run(folder: Path, *command: object) -> str:
    """Standard output of a command that has to succeed, without this environment's paths."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([str(c) for c in command], cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder: Path) -> Path:
    """A new, empty environment's folder of programs."""
    run(folder, sys.executable, "-m", "venv", "empty")
    return folder / "empty" / "bin"


@pytest.mark.slow
def test_an_empty_environment_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    """pip install of the wheel, then `poseterior demo`, then the README's extra: two minutes and 1.3 GB."""
    bin = environment(tmp_path)
    pip = (bin / "pip", "install", "-q", "-c", ROOT / "constraints.txt")
    run(tmp_path, *pip, wheel)
    assert run(tmp_path, bin / "poseterior", "--version") == f"poseterior {poseterior.__version__}\n"
    out = run(tmp_path, bin / "poseterior", "demo")
    assert "left_ankle" in out
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"poses.npz", "scene.html", "summary.png"}
    assert not OPTIONAL & {line.split("==")[0].lower() for line in run(tmp_path, bin / "pip", "freeze").splitlines()}
    where = run(tmp_path, bin / "python", "-c", "import poseterior; print(poseterior.__file__)")
    assert where.startswith(str(tmp_path / "empty"))

    shutil.rmtree(tmp_path / "demo")
    run(tmp_path, *pip, f"{wheel}[view]")
    run(tmp_path, bin / "poseterior", "demo")
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"poses.parquet", "scene.html", "summary.png"}


#: Lifts, saves, loads and draws by the lowest versions.
LOWEST = """
import sys
import numpy as np, torch, poseterior as pp
from poseterior.cli import main
keypoints = pp.example_keypoints()
for name in pp.list_shipped():
    result = pp.lift(pp.load(name), keypoints, 8)
    for suffix in ("npz", "json", "parquet"):
        result.save(f"{name}.{suffix}", samples=True)
        again = pp.load_result(f"{name}.{suffix}")
        assert all(np.allclose(getattr(again, f), getattr(result, f), atol=1e-6) for f in ("mean", "samples")), name
    assert np.isfinite(result.mean).all(), name
pp.view.save_summary(result, "summary.png")
pp.view.write_html(result, "scene.html")
assert main(["lift", sys.argv[1], "--out", "clip.bvh", "--samples", "8"]) == 0
assert callable(pp.train)
print("numpy", np.__version__)
print("torch", torch.__version__)
"""


@pytest.mark.slow
def test_the_lowest_versions_work(wheel: Path, metadata: Message, tmp_path: Path) -> None:
    """Of each dependency that lifting, pages and training need, the lowest version that pyproject.toml allows.

    But for torch: that of this environment is lent to the new one. The lowest is on PyPI only in a build for CUDA,
    whose libraries are 3 GB; POSETERIOR_LOWEST_TORCH=1 installs it all the same.
    """
    bin = environment(tmp_path)
    wanted = required(metadata, "view", "train")
    if not os.environ.get("POSETERIOR_LOWEST_TORCH"):
        lend(installed_for(["torch"]), tmp_path / "lent", tmp_path / "empty")
        wanted = [text for text in wanted if not text.startswith("torch>")]
    lowest = sorted({text.replace(">=", "==") for text in wanted})
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", text) for text in lowest), lowest
    run(tmp_path, bin / "pip", "install", "-q", *lowest)
    run(tmp_path, bin / "pip", "install", "-q", "--no-deps", wheel)
    run(tmp_path, bin / "pip", "check")
    said = run(tmp_path, bin / "python", "-W", "ignore", "-c", LOWEST, PACKAGE / "examples" / "demo.json")
    used = dict(line.split(" ") for line in said.splitlines() if line.startswith(("numpy ", "torch ")))
    lowest_of = {name: text for name, _, text in (text.partition("==") for text in lowest)}
    assert all(used[name].startswith(f"{lowest_of[name]}.") for name in used if name in lowest_of), used
    assert "numpy" in used
    assert "</html>" in (tmp_path / "scene.html").read_text()


def lend(distributions: dict[str, importlib.metadata.Distribution], folder: Path, to: Path) -> None:
    """Let another environment import some distributions of this one: by links, and a line on its path."""
    folder.mkdir()
    for distribution in distributions.values():
        for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."} - {"__pycache__"}:
            (folder / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())
    (packages,) = (to / "lib").glob("python*/site-packages")
    (packages / "lent.pth").write_text(f"{folder}\n")


@pytest.mark.slow
def test_the_source_archive_runs_its_tests(sdist: Path, tmp_path: Path) -> None:
    """Some tests of the unpacked archive, against the package in it, by this environment's packages."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    tests = ("tests/test_packaging.py", "tests/test_house.py", "tests/files", "tests/geometry", "tests/test_face.py")
    code = "import sys; sys.path.insert(0, 'src'); import pytest; raise SystemExit(pytest.main(sys.argv[1:]))"
    alone = {**os.environ, "PYTHONPATH": str(unpacked / "src")}
    command = [sys.executable, "-c", code, "-n", "0", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, env=alone)
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\d{2,} passed", done.stdout)
