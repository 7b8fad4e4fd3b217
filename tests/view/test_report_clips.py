"""The section on clips of a benchmark's report."""

import re

import pytest
from bench_fixture import made_up

from poseterior.view.report.clips import clips_table, course_figure
from poseterior.view.report.figures import styles_of
from poseterior.view.report.page import report_html
from poseterior.view.report.results import Bench


def course(count: int = 12) -> dict:
    line = [float(10 * i) for i in range(count)]
    alone = [None if i in (4, 5) else value + 3 for i, value in enumerate(line)]
    place = {"truth": line, "frames": alone, "mean": line, "low": [v - 9 for v in line], "high": [v + 9 for v in line]}
    angle = {"truth": line, "middle": line, "low": line, "high": line}
    angle |= {f"frames {name}": alone for name in ("middle", "low", "high")}
    return {
        "clip": "walk <1>", "level": 0.9, "seconds": [i / 30 for i in range(count)],
        "shown": [i not in (4, 5) for i in range(count)], "places": {"left_ankle": dict.fromkeys("xyz", place)},
        "angles": {"left_knee_flexion": angle}, "calibrated": True,
    }  # fmt: skip


@pytest.fixture
def results() -> dict:
    found = made_up(("flow", "mdn"), sweeps=False, main=2)
    unit = found["units"][0]
    unit["clips"] = {
        "frames": {"MPJPE": 32.6, "held": 0.91, "milliseconds a frame": 8.4, "bone change": 1560.0},
        "clip": {"MPJPE": 20.04, "held": 0.9, "milliseconds a frame": 1.1, "bone change": 0.0},
        "difference": {"MPJPE": [-12.56, 1.2], "held": [-0.01, 0.02], "bone change": [-1560.0, 9.0]},
        "clips": 24,
        "course": course(),
    }
    return found


def test_clips_stand_below_their_frames(results):
    bench = Bench(results)
    table = clips_table(bench, dict.fromkeys(bench.lifters, ""))
    protocol = results["units"][0]["protocol"]
    assert [row.head for row in table.rows] == [f"{protocol}: flow, frame by frame", f"{protocol}: flow, clip"]
    titles = [title for title, _ in table.columns]
    frames, clip = (row.cells[titles.index("MPJPE")] for row in table.rows)
    assert (frames.text, frames.note) == ("32.6", "")
    assert (clip.text, clip.note) == ("20.0", "−12.6 ±1.2")
    assert sum(span for _, span in table.groups) == len(table.columns) == len(table.rows[0].cells)
    held = table.rows[1].cells[titles.index("joints", titles.index("joints") + 1)]
    assert (held.text, held.note) == ("90.0", "−1.0 ±2.0")
    # samples of single frames are no motions
    before, after = (row.cells[titles.index("bone change (mm)")] for row in table.rows)
    assert (before.text, after.text, after.note) == ("–", "0.0", "")


def test_the_page_has_the_section_only_where_clips_were_measured(results):
    page = report_html(results)
    assert '<section id="clips">' in page
    assert 'href="#clips"' in page
    assert "walk &lt;1&gt;" in page
    assert "walk <1>" not in page
    for unit in results["units"]:
        unit.pop("clips", None)
    assert 'id="clips"' not in report_html(results)


def test_a_course_is_a_panel_for_each_coordinate_and_angle():
    figure = course_figure(course(), styles_of(["flow"])["flow"])
    drawn = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in drawn] == [
        "left ankle: x, right", "left ankle: y, down", "left ankle: z, away", "left knee flexion",
    ]  # fmt: skip
    # the line of single frames has a hole where nobody was seen
    (alone,) = (line for line in drawn[0].lines if line.get_marker() == ".")
    assert [value != value for value in alone.get_ydata()].count(True) == 2
    assert len(drawn[0].patches) == 1


def test_numbers_of_clips_are_not_listed_twice(results):
    page = report_html(results)
    assert not re.search(r"clips / (clip|frames|course)", page)
