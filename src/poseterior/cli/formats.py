"""`poseterior formats`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Packages of formats -> what they are for.
_PACKAGES = {
    "keypoints/formats": "2D keypoints, for poseterior lift",
    "keypoints/points": "3D points of one person, for poseterior ik",
}
_WANTED = ("NAME", "ABOUT", "EXAMPLE")
_BUILTINS = {"range": range, "enumerate": enumerate, "list": list}
_OTHERS = """Motions that are read (data import, data rigs, prior score): .bvh, .glb, .gltf, .asf with .amc, AMASS .npz
Motions that are written (lift, ik): .bvh (--rig names its joints), .glb, .usda, .usdc, .usdz, .mot, AMASS .npz
Results that are written (lift): .parquet, .npz, .json; .csv, .trc, .c3d, .mot, .coco.json; (angles): .csv"""
#: A line of an example is shown to here.
_WIDTH = 160


@dataclass
class Formats:
    """List the formats of files that are read and written, with an example of each.

    Nothing has to be told which format a file is of: its content says.
    """

    def run(self) -> None:
        # Texts are printed as they stand: rich would take brackets for styles.
        for package, purpose in _PACKAGES.items():
            found = list(_described(package))
            if not found:
                continue
            print(f"{purpose}\n")
            for about in found:
                print(f"  {about['NAME']}: {about['ABOUT']}")
                for line in about.get("EXAMPLE", "").splitlines():
                    print(f"      {line if len(line) <= _WIDTH else line[: _WIDTH - 3] + '...'}")
            print()
        print(_OTHERS)


def _described(package: str) -> Iterator[dict[str, str]]:
    """What the modules of a package say of themselves, by name; read and not imported: readers need PyTorch."""
    folder = Path(__file__).resolve().parents[1] / package
    found = [_constants(path) for path in folder.glob("*.py") if path.stem != "__init__"]
    yield from sorted((about for about in found if {"NAME", "ABOUT"} <= set(about)), key=lambda about: about["NAME"])


def _constants(path: Path) -> dict[str, str]:
    """Texts that a module assigns at its top."""
    found: dict[str, str] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign)
            else node.target
            if isinstance(node, ast.AnnAssign)
            else None
        )
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id in _WANTED and value is not None:
            # our own source: texts, put together of nothing but numbers and other texts
            text = eval(compile(ast.Expression(value), str(path), "eval"), {"__builtins__": dict(_BUILTINS)})
            if isinstance(text, str):
                found[target.id] = text
    return found
