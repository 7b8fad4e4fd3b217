"""The report of a benchmark: one HTML page that needs nothing but a browser.

`save_report` reads the dictionary that `poseterior.evaluation.run.run_benchmark` returns (or its ``bench.json`` read
back). What a lifter was not measured for is shown as missing; a section that nothing was measured for is left out.
Every string of the results is escaped. matplotlib is imported when a page is made, not with this module.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ...files.errors import InputError
from ...files.writing import atomic_write
from . import findings, sticks, tables
from .clips import clips_table
from .figures import number, styles_of
from .html import markup, render
from .pictures import Pictures
from .results import BAD_CALIBRATION, Bench, Results

__all__ = ["BAD_CALIBRATION", "report_html", "save_report"]

_KINDS = {
    "shipped": "shipped with poseterior",
    "weights": "own weights",
    "peer": "function of a peer",
    "results": "results made elsewhere",
}


def save_report(results: Results, path: str | os.PathLike[str]) -> None:
    """Write the report, a self-contained page that appears only when it is complete.

    Args:
        results: from `poseterior.evaluation.run.run_benchmark`, or its ``bench.json`` read back.
        path: ``.html``.

    Raises:
        InputError: as `report_html`; another extension; a path that cannot be written to.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: unknown extension {Path(path).suffix!r}; use .html")
    page = report_html(results)
    with atomic_write(path) as file:
        file.write(page.encode())


def report_html(results: Results) -> str:
    """The report as text; see `save_report`.

    Raises:
        InputError: results of another format, without units, or with a unit of an unknown lifter or protocol.
    """
    return render(**_parts(Bench(results)))


def _parts(bench: Bench) -> dict[str, Any]:
    """Everything that the template shows, by section."""
    styles = styles_of(list(bench.lifters))
    swatches = {name: markup(sticks.swatch_svg(style)) for name, style in styles.items()}
    pictures = Pictures(bench, styles, swatches)
    return {
        "results": bench.results,
        "facts": findings.facts(bench),
        "lifters": bench.lifters,
        "kinds": _KINDS,
        "swatches": swatches,
        "protocols": bench.protocols,
        "severities": findings.SEVERITIES,
        "checks": findings.checks(bench),
        "glance": findings.glance(bench),
        "overview": tables.overview(bench, swatches),
        "leagues": [
            (name, tables.league(bench, name, swatches), tables.answers(bench, name, swatches), _remarks(bench, name))
            for name in bench.main
        ],
        "best_of": pictures.together(pictures.best_of),
        "reliability": pictures.each_main(pictures.reliability),
        "quantities": pictures.each_main(pictures.quantities),
        "joints": pictures.each_main(pictures.joints),
        "clips": clips_table(bench, swatches),
        "courses": pictures.each_main(pictures.courses),
        "novelty": [(name, table) for name in bench.main if (table := tables.novelty_table(bench, name))],
        "masks": pictures.masks(),
        "missing": pictures.each_main(pictures.missing),
        "sweeps": pictures.sweeps(),
        "cost": pictures.together(pictures.cost),
        "worst": pictures.worst(),
        "full": [(name, tables.full(bench, name)) for name in bench.protocols if bench.units[name]],
        "joint_tables": [(name, table) for name in bench.main if (table := tables.joint_table(bench, name))],
        "bad": BAD_CALIBRATION,
    }


def _remarks(bench: Bench, protocol: str) -> str:
    """What the table's introduction says of ± and of the calibration error that cannot be undercut."""
    units = list(bench.units[protocol].values())
    sentences = []
    known = next((unit["uncertainty"] for unit in units if unit.get("uncertainty")), None)
    if known:
        share = f"{100 * known['confidence']:.0f} %"
        sentences.append(f"± is half of the {share} interval, by the bootstrap over {known['groups']} {known['of']}.")
    floor = max((f for unit in units if (f := number(unit, "calibration", "visible", "floor"))), default=None)
    if floor:
        sentences.append(
            f"A perfect distribution would have a calibration error of about {floor:.3f} here for visible joints, and "
            "more for missing ones, which are fewer."
        )
    return " ".join(sentences)
