"""How numbers of observations without 3D poses are printed, by `poseterior evaluate` and `poseterior bench`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["flat_tables"]


def flat_tables(results: Mapping[str, dict[str, Any]]) -> Any:
    """A row a lifter: reprojection, and the order of joints where there are labels.

    Args:
        results: of `poseterior.evaluation.without_truth.measure_without_truth`, by lifter.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    first = next(iter(results.values()))
    title = f"{first['protocol']}: {first['poses']} poses without 3D, {first['samples']} samples"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    ordered = "depth order" in first
    columns = ["reprojection (px)", "(%)", "of a hypothesis (px)", *(["order", "order calib."] if ordered else [])]
    table.add_column("lifter", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for name, result in results.items():
        mean, sample = result["reprojection"]["mean"], result["reprojection"]["hypothesis"]
        row = [f"{mean['pixels']:.1f}", f"{mean['percent of the person']:.1f}", f"{sample['pixels']:.1f}"]
        if ordered:
            row += [f"{result['depth order']['accuracy']:.3f}", f"{result['depth order']['calibration error']:.3f}"]
        table.add_row(name, *row)
    parts: list[Any] = [table, Text("%: of the person's size in the picture")]
    if not ordered:
        return Group(*parts, Text("order of joints in depth: pass --labels (`poseterior labels import`)"))
    order = first["depth order"]
    gaps = Table(title="share of labels in order, by the lifter's own gap in depth", box=SIMPLE_HEAD, pad_edge=False)
    gaps.title_justify = "left"
    gaps.add_column("gap (mm)", no_wrap=True)
    for name in results:
        gaps.add_column(name, justify="right")
        gaps.add_column("labels", justify="right", style="dim")
    for i, row_of in enumerate(order["by predicted gap"]):
        high = "" if row_of["to"] is None else f"{1000 * row_of['to']:.0f}"
        cells = []
        for result in results.values():
            one = result["depth order"]["by predicted gap"][i]
            cells += ["-" if one["accuracy"] is None else f"{one['accuracy']:.3f}", str(one["labels"])]
        low = f"{1000 * row_of['from']:.0f}"
        gaps.add_row(f"{low} to {high}" if high else f"over {low}", *cells)
    told = f"order: {order['labels']} labels of {order['images']} pictures; calib.: of the probability of order, 0 to 1"
    return Group(*parts, gaps, Text(told))
