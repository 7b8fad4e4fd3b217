"""Run the documentation's notebooks anew and keep what they print and draw: python benchmarks/notebooks.py [NAME…].

A notebook is edited in docs/notebooks/NAME.ipynb by any editor of notebooks. What changes from run to run and says
nothing (times, counts of executions, versions) is left out, so that a difference in git is a difference.
"""

from __future__ import annotations

import argparse
import base64
import io
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
#: Seconds that a cell may take.
_LIMIT = 600


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a run in its own folder, without what differs from run to run.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=_LIMIT, record_timing=False, coalesce_streams=True, resources={"metadata": {"path": FOLDER}}
    ).execute()
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": python, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.execution_count = None
            # Progress and warnings are not what a notebook says.
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = None
                if "image/png" in output.get("data", ()):
                    output.data["image/png"] = _of_few_colours(output.data["image/png"])
    return notebook


def _of_few_colours(picture: str) -> str:
    """A PNG in base64 with at most 256 colours: a third of the size, and the eye sees no difference."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        small = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    small.save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell printed, cells without output left out."""
    texts = []
    for cell in notebook.cells:
        streams = [out.text for out in cell.get("outputs", ()) if out.output_type == "stream"]
        if streams:
            texts.append("".join(streams))
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of notebooks (default: all)")
    names = parser.parse_args().names or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    for name in names:
        path, start = FOLDER / f"{name}.ipynb", time.monotonic()
        nbformat.write(executed(path), path)
        print(f"{name}: {time.monotonic() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
