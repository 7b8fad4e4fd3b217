"""The report of a benchmark: numbers, escaping, what is missing, and the page in a real browser."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from bench_fixture import JOINTS, LEVELS, LIFTERS, MAIN, compared, made_up, unit_of

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.view.report import figures, sticks
from poseterior.view.report.page import BAD_CALIBRATION, report_html, save_report

SECTIONS = [
    "summary", "league", "best-of", "reliability", "quantities", "joints", "masks", "sweeps", "cost", "worst", "tables",
    "glossary",
]  # fmt: skip


class Page(HTMLParser):
    """What tests ask of a page: ids, addresses, and tables as ``{caption: {row: [(class, value, text)]}}``."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.sections: list[str] = []
        self.addresses: list[str] = []
        self.pictures: list[str | None] = []
        self.tables: dict[str, dict[str, list[tuple[str, str, str]]]] = {}
        self.text = ""
        self._caption, self._row = "", ""
        self._stack: list[str] = []
        self._cell: tuple[str, str] | None = None
        self._words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "section":
            self.sections.append(str(given["id"]))
        if tag == "svg" and given.get("role") == "img":
            self.pictures.append(given.get("aria-label"))
        self.addresses += [str(given[key]) for key in ("src", "href", "xlink:href") if key in given]
        if tag in ("caption", "th", "td", "small"):
            if tag != "small":
                self._words = ""
            self._stack.append(tag)
        if tag == "th" and given.get("scope") == "row":
            self._row = str(given.get("data-name"))
            self.tables[self._caption][self._row] = []
        if tag == "td":
            self._cell = (str(given.get("class", "")), str(given.get("data-value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("caption", "th", "td", "small") and self._stack:
            self._stack.pop()
        if tag == "caption":
            self._caption = self._words
            self.tables[self._caption] = {}
        if tag == "td" and self._cell is not None and self._row:
            self.tables[self._caption][self._row].append((*self._cell, self._words))
        if tag == "table":
            self._row = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._stack and self._stack[-1] != "small":
            self._words += data


def table_of(page: Page, start: str) -> dict[str, list[tuple[str, str, str]]]:
    (caption,) = [caption for caption in page.tables if caption.startswith(start)]
    return page.tables[caption]


def peer_results() -> dict[str, Any]:
    """A peer with a nasty name, in millimetres, without density and regions, which answers to one protocol only."""
    results = made_up(sweeps=False, main=2)
    results["lifters"]["<b>peer & co"] = {"kind": "peer", "description": "<script>alert(1)</script>"}
    unit = copy.deepcopy(unit_of(results, "relative", "cmu-test"))
    unit |= {"lifter": "<b>peer & co"}
    del unit["region"]
    unit["scores"]["energy score"] = 812345.1
    unit["best of N"]["MPJPE"] = [1000 * error for error in unit["best of N"]["MPJPE"]]
    unit["checks"] = [{"kind": "unit", "severity": "error", "sentence": "Poses <1000> times too large & so on."}]
    unit["worst"][0]["clip"] = "<i>clip</i>$x_1$"
    results["units"].append(unit)
    results["skipped"] = [{"lifter": "<b>peer & co", "protocol": "cmu-clean", "reason": "gave <nothing>"}]
    return results


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return made_up(worst=12)


@pytest.fixture(scope="module")
def text(results: dict[str, Any]) -> str:
    return report_html(results)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


# -- the whole ---------------------------------------------------------------------------------------------


def test_every_section_is_there_and_nothing_is_loaded(text: str, page: Page) -> None:
    assert page.sections == SECTIONS
    assert {address for address in page.addresses if not address.startswith("#")} == {"data:,"}
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {f"#{name}" for name in page.ids}
    assert len(text) < 6_000_000


def test_ids_are_unique_and_pictures_are_described(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert len(page.pictures) > 100
    assert all(page.pictures)
    links = {address[1:] for address in page.addresses if address.startswith("#")}
    assert links <= set(page.ids)


def test_the_results_are_not_changed(results: dict[str, Any]) -> None:
    assert results == made_up(worst=12)


def test_json_read_back_gives_the_same_page() -> None:
    small = made_up(("mdn",), sweeps=False, main=1)
    assert report_html(json.loads(json.dumps(small))) == report_html(small)


# -- the league table --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", list(MAIN))
def test_numbers_of_the_league_table_are_those_of_the_results(
    page: Page, results: dict[str, Any], protocol: str
) -> None:
    table = table_of(page, f"League table of {protocol}")
    assert set(table) == set(LIFTERS)
    for lifter, cells in table.items():
        unit = unit_of(results, lifter, protocol)
        expected = [
            unit["scores"]["energy score"], unit["scores"].get("NLL"), unit["estimates"]["mean"]["MPJPE"],
            unit["estimates"]["mean"]["P-MPJPE"], unit["estimates"]["best of 200"]["MPJPE"],
            unit["calibration"]["visible"]["mean"], unit["calibration"]["missing"]["mean"],
            unit.get("density coverage", {}).get("error"), 1.0, unit["region"]["mean"],
            unit["region"]["worst"], unit["region"]["pose"], unit["region"]["radius"],
            unit["plausibility"]["bone spread"], unit["plausibility"]["joint limits"],
            unit["depth order"]["accuracy"], unit["cost"]["milliseconds per pose"],
        ]  # fmt: skip
        assert [float(value) if value else None for _, value, _ in cells] == expected
        assert cells[2][2] == f"{unit['estimates']['mean']['MPJPE']:.1f}"
        assert cells[9][2] == "90.4"
        assert (cells[1][2] == "–") == ("NLL" not in unit["scores"])


def test_the_league_is_ranked_by_energy_score(page: Page, results: dict[str, Any]) -> None:
    for protocol in MAIN:
        ranked = list(table_of(page, f"League table of {protocol}"))
        scores = [unit_of(results, lifter, protocol)["scores"]["energy score"] for lifter in ranked]
        assert scores == sorted(scores)


def standing(page: Page, protocol: str, kind: str) -> list[list[str]]:
    """The lifters that stand out so, by column."""
    table = table_of(page, f"League table of {protocol}")
    return [[name for name, cells in table.items() if cells[column][0] == kind] for column in range(17)]


def test_the_best_is_bold_but_no_oracle_and_no_bought_radius(page: Page, results: dict[str, Any]) -> None:
    best, table = standing(page, "cmu-test", "best"), table_of(page, "League table of cmu-test")
    assert best[0] == ["flow"]
    assert best[4] == []
    assert {cells[4][0] for cells in table.values()} == {"oracle"}
    # all alike: none is best, and none is level with it
    assert best[9] == standing(page, "cmu-test", "level")[9] == []
    # "supervised" has the least spread because it is over-confident
    spread = {lifter: unit_of(results, lifter, "cmu-test")["plausibility"]["bone spread"] for lifter in LIFTERS}
    assert min(spread, key=spread.__getitem__) == "supervised"
    assert unit_of(results, "supervised", "cmu-test")["calibration"]["all"]["mean"] > BAD_CALIBRATION
    assert best[13] == ["mdn"]
    # times are not resampled: within a fifth they are alike
    assert best[16] == []
    assert set(standing(page, "cmu-test", "level")[16]) == {"supervised", "unsupervised"}


def test_what_chance_may_explain_is_not_bold(results: dict[str, Any]) -> None:
    """flow's energy score is a twentieth below mdn's: bold with a sure difference, level with an unsure one."""
    changed = copy.deepcopy(results)
    changed["comparisons"]["cmu-test"] = compared(changed["units"], "cmu-test", half=0.12)
    page = Page(report_html(changed))
    assert standing(page, "cmu-test", "best")[0] == []
    assert set(standing(page, "cmu-test", "level")[0]) == {"flow", "mdn"}
    assert standing(page, "cmu-clean", "best")[0] == ["flow"]
    assert "flow and mdn are level in energy score (28.5 ±2.9 and 30.6 ±3.1 mm): 24 clips do not" in page.text
    assert "flow has the best energy score (28.5 ±2.9 mm), beyond chance." in Page(report_html(results)).text


def test_without_comparisons_nothing_is_bold(results: dict[str, Any]) -> None:
    changed = copy.deepcopy(results)
    del changed["comparisons"]
    assert not any(standing(Page(report_html(changed)), "cmu-test", "best"))


def test_numbers_stand_with_what_they_may_be_off_by(text: str, results: dict[str, Any]) -> None:
    half = unit_of(results, "flow", "cmu-test")["uncertainty"]["half width"]
    assert f'<small class="half">±{half["MPJPE"]:.1f}</small>' in text
    assert f'<small class="half">±{100 * half["region"]:.1f}</small>' in text
    assert "± is half of the 95 % interval, by the bootstrap over 24 clips." in text


def test_coverage_nearest_to_its_level_is_best() -> None:
    results = made_up(("flow", "mdn", "rotations"), sweeps=False, main=1)
    for lifter, share in (("flow", 0.97), ("mdn", 0.885), ("rotations", 0.80)):
        unit_of(results, lifter, "cmu-test")["region"]["mean"] = share
    results["comparisons"]["cmu-test"] = compared(results["units"], "cmu-test")
    assert standing(Page(report_html(results)), "cmu-test", "best")[9] == ["mdn"]


def test_the_whole_pose_has_a_verdict_of_its_own() -> None:
    results = made_up(("flow", "mdn"), sweeps=False, main=1)
    unit = unit_of(results, "flow", "cmu-test")
    unit["density coverage"] |= {"error": 0.13, "signed": -0.12, "inside": False}
    sentence = "The density of the whole pose is wrong: regions that claim 20 % hold 49 % of the truths."
    unit["checks"] = [{"kind": "whole pose", "severity": "warning", "sentence": sentence}]
    text = report_html(results)
    cells = table_of(Page(text), "League table of cmu-test")["flow"]
    assert [cells[7][2], cells[8][2]] == ["0.130", "1"]
    assert "<small>under-confident</small>" in text
    assert sentence in text
    assert "As a whole the pose is not what flow says: see the checks." in text


def test_badly_calibrated_lifters_are_marked_in_words(text: str) -> None:
    league = text[text.index('id="league"') : text.index('id="best-of"')]
    assert league.count("⚠ badly calibrated") == 3 * 3
    for word in ("calibrated", "over-confident", "under-confident"):
        assert f"<small>{word}</small>" in league


def test_few_observations_are_no_verdict() -> None:
    results = made_up(("relative",), sweeps=False, main=1)
    missing = results["units"][0]["calibration"]["missing"]
    missing |= {"observations": 150, "mean": 0.031, "floor": 0.03}
    assert "<small>within noise</small>" in report_html(results)
    missing["mean"] = 0.04
    assert "<small>within noise</small>" not in report_html(results)


def test_oracles_are_marked_among_the_other_answers(text: str, page: Page) -> None:
    table = table_of(page, "Other single answers on cmu-test")
    marked = [kind for kind, *_ in table["flow"]]
    assert marked[-4:] == ["oracle"] * 4
    assert "oracle" not in marked[:-4]
    assert "best of 200 (oracle)" in text
    assert "J-Agg (oracle)" in text
    assert "mode, 60 poses only" in text


def test_full_tables_hold_every_number(page: Page, results: dict[str, Any]) -> None:
    table = table_of(page, "Every number on noise-10")
    unit = unit_of(results, "flow", "noise-10")
    assert float(table["scores / CRPS"][0][1]) == unit["scores"]["CRPS"]
    assert float(table["calibration / missing / signed"][0][1]) == unit["calibration"]["missing"]["signed"]
    assert table["SBC / uniform"][0][2] == "no"
    assert table["floor / mean"][0][2] == "0.003"
    assert [text for *_, text in table["rotations / MGEO"]] == ["–", "–", "14.2", "–", "–", "–"]


def test_joint_table_holds_errors_and_radii(page: Page, results: dict[str, Any]) -> None:
    table = table_of(page, "Joints on cmu-test")
    assert list(table) == [joint.replace("_", " ") for joint in JOINTS]
    row = unit_of(results, "mdn", "cmu-test")["per joint"]["left_wrist"]
    cells = table["left wrist"][3:6]
    assert [float(value) for _, value, _ in cells] == [row["error"], row["radius"], row["signed"]]


# -- checks ------------------------------------------------------------------------------------------------


def test_checks_are_said_once_with_their_protocols() -> None:
    results = made_up(("mdn",), main=2)
    for unit in results["units"]:
        unit["checks"] = [{"kind": "left and right", "severity": "error", "sentence": "Left and right are exchanged."}]
    unit_of(results, "mdn", "pitch-30°")["checks"] = []
    for name in ("noise-2", "noise-10"):
        unit_of(results, "mdn", name)["checks"] = []
    text = report_html(results)
    assert text.count("Left and right are exchanged.") == 1
    where = "On cmu-test, cmu-clean, masks (all), noise-25, noise-50, pitch (3 of 4) and field of view (all)."
    assert where in text
    assert "No errors and no warnings." not in text


def test_sentences_that_differ_are_all_kept() -> None:
    results = made_up(("mdn",), sweeps=False, main=3)
    for i, unit in enumerate(results["units"]):
        unit["checks"] = [
            {"kind": "size", "severity": "warning", "sentence": f"Bodies are {i + 5} % too small: `x < 1`."}
        ]
    text = report_html(results)
    assert "(Numbers of cmu-test.) Found on cmu-test, cmu-clean and bandai-cross." in text
    for i in (5, 6, 7):
        assert f"Bodies are {i} % too small: <code>x &lt; 1</code>." in text


def test_nothing_found_is_said() -> None:
    results = made_up(("mdn",), sweeps=False, main=1)
    results["units"][0]["checks"] = []
    assert "No errors and no warnings." in report_html(results)


# -- strings, and what is missing --------------------------------------------------------------------------


def test_every_string_is_escaped() -> None:
    text = report_html(peer_results())
    for raw in ("<b>", "<script>alert", "<i>clip", "<1000>", "<nothing>"):
        assert raw not in text
    page = Page(text)
    assert "<b>peer & co" in page.tables["League table of cmu-test, 1000 poses, best energy score first"]
    assert "Poses <1000> times too large & so on." in page.text
    assert "gave <nothing>" in page.text
    assert "<i>clip" not in page.text  # a path: the file's name is enough
    assert "i>$x_1$, frame 18" in page.text


def test_one_wrong_unit_does_not_flatten_the_charts() -> None:
    results = peer_results()
    units = {unit["lifter"]: unit for unit in results["units"] if unit["protocol"] == "cmu-test"}
    figure = figures.best_of_figure(units, figures.styles_of(list(units)))
    assert figure is not None
    (axes,) = figure.axes
    assert axes.get_ylim()[1] < 500
    assert [text.get_text() for text in axes.texts] == ["off the chart: <b>peer & co"]


@pytest.mark.parametrize(
    "key",
    ["estimates", "oracles", "best of N", "scores", "calibration", "floor", "density coverage", "TARP", "SBC",
     "sharpness", "region", "plausibility", "depth order", "per joint", "by missing", "cost", "checks", "worst"],
)  # fmt: skip
def test_any_part_may_be_absent(key: str) -> None:
    results = made_up(("flow",), sweeps=False, main=1)
    del results["units"][0][key]
    gone = {"best of N": "best-of", "per joint": "joints", "by missing": "masks", "cost": "cost", "worst": "worst"}
    gone |= {"SBC": "quantities"}
    sections = Page(report_html(results)).sections
    assert gone.get(key) not in sections
    assert set(SECTIONS) - set(sections) - {"sweeps"} <= {gone.get(key, "cost" if key == "scores" else "")}


def test_only_names_are_enough() -> None:
    results = made_up(("flow", "mdn"), sweeps=False, main=1)
    results["units"] = [{"lifter": "mdn", "protocol": "cmu-test"}]
    for key in ("machine", "command", "skipped", "created", "version", "samples", "seed", "poses"):
        del results[key]
    page = Page(report_html(results))
    assert page.sections == ["summary", "league", "tables", "glossary"]
    assert {text for *_, text in table_of(page, "League")["mdn"]} == {"–"}


def test_null_numbers_are_missing_numbers() -> None:
    results = made_up(("flow", "mdn"), worst=1, main=1)
    for unit in results["units"]:
        unit["scores"]["energy score"] = None
        unit["per joint"]["head_top"]["radius"] = None
        unit["calibration"]["all"]["signed"] = None
        for pose in unit["worst"]:
            pose["truth"][3] = None
            pose["keypoints"][5] = None
    page = Page(report_html(results))
    assert table_of(page, "League")["flow"][0] == ("", "", "–")
    assert "cost" not in page.sections


def test_without_main_protocols_the_first_one_is_shown() -> None:
    results = made_up(("mdn",))
    results["protocols"] = {n: p for n, p in results["protocols"].items() if p["group"] == "noise"}
    results["units"] = [unit for unit in results["units"] if unit["protocol"] in results["protocols"]]
    page = Page(report_html(results))
    assert table_of(page, "League table of noise-2")["mdn"]


# -- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "poseterior-bench-9"},
         "format: expected 'poseterior-bench-2', got 'poseterior-bench-9'; make the results with `poseterior bench`"),
        ({"units": []}, "the results have no 'units': nothing was measured; run `poseterior bench` again"),
        ({"units": [{"lifter": "x", "protocol": "cmu-test"}]},
         "units: the lifter 'x' is not among the lifters; known: mdn"),
        ({"units": [{"lifter": "mdn"}]}, "units: the protocol None is not among the protocols; known: cmu-test"),
    ],
)  # fmt: skip
def test_bad_results_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    results = made_up(("mdn",), sweeps=False, main=1) | change
    with pytest.raises(InputError) as caught:
        save_report(results, tmp_path / "report.html")
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


def test_bad_paths_are_refused(tmp_path: Path) -> None:
    results = made_up(("mdn",), sweeps=False, main=1)
    with pytest.raises(InputError, match=r"report\.pdf: unknown extension '\.pdf'; use \.html"):
        save_report(results, tmp_path / "report.pdf")
    with pytest.raises(InputError, match="nowhere"):
        save_report(results, tmp_path / "nowhere" / "report.html")


# -- figures -----------------------------------------------------------------------------------------------


def test_charts_draw_the_numbers() -> None:
    results = made_up(("flow", "mdn"), sweeps=False, main=1)
    units = {unit["lifter"]: unit for unit in results["units"]}
    styles = figures.styles_of(list(units))
    figure = figures.best_of_figure(units, styles)
    assert figure is not None
    solid, dashed, *_ = figure.axes[0].lines
    assert list(solid.get_ydata()) == units["flow"]["best of N"]["MPJPE"]
    assert set(dashed.get_ydata()) == {units["flow"]["estimates"]["mean"]["MPJPE"]}
    figure = figures.levels_figure(units, styles, ("TARP",))
    assert figure is not None
    diagonal, first, *_ = figure.axes[0].lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 100]
    assert list(first.get_xdata()) == pytest.approx([100 * level for level in LEVELS])
    assert list(first.get_ydata()) == pytest.approx([100 * share for share in units["flow"]["TARP"]["coverage"]])


def test_charts_of_nothing_are_none() -> None:
    units: dict[str, Any] = {"flow": {}}
    styles = figures.styles_of(["flow"])
    assert figures.best_of_figure(units, styles) is None
    assert figures.levels_figure(units, styles, ("calibration", "visible")) is None
    assert figures.bins_figure(units, styles, "MPJPE", "mm") is None
    assert figures.masks_figure({"flow": []}, styles, "mm") is None
    assert figures.sweep_figure({"flow": []}, styles, "px", "mm") is None
    assert figures.cost_figure(units, styles, {}, lambda unit: 1.0, "mm") is None
    assert sticks.skeleton_svg({}, made_up(("flow",), sweeps=False)["skeleton"], "flow") is None


def test_limbs_stand_apart_from_counts() -> None:
    points = {"mdn": [(0.0, "0", 10.0), (8.0, "8", 30.0), (None, "legs", 40.0)]}
    figure = figures.masks_figure(points, figures.styles_of(["mdn"]), "mm")
    assert figure is not None
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "8", "legs"]
    line, limbs, *_ = axes.lines
    assert line.get_linestyle() == "-"
    assert limbs.get_linestyle() == "None"
    assert limbs.get_xdata()[0] > 8


def test_styles_differ() -> None:
    styles = figures.styles_of([f"lifter {i}" for i in range(18)])
    assert len(set(styles.values())) == 18


def test_labels_of_the_cost_chart_do_not_overlap() -> None:
    names = [f"lifter {i}" for i in range(7)]
    units = {
        name: {"cost": {"milliseconds per pose": 1.0 + 0.1 * i}, "scores": {"energy score": 30.0 + 2 * i}}
        for i, name in enumerate(names)
    }
    figure = figures.cost_figure(
        units, figures.styles_of(names), {}, lambda unit: unit["scores"]["energy score"], "energy score (mm)"
    )
    assert figure is not None
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 7
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_circles_have_the_scale_of_the_body() -> None:
    results = made_up(("flow",), sweeps=False, main=1)
    svg = sticks.skeleton_svg(results["units"][0], results["skeleton"], "flow")
    assert svg is not None
    row = results["units"][0]["per joint"]["left_elbow"]
    radii = re.findall(r'cx="440" cy="-330" r="([^"]+)"', svg)
    assert [float(radius) for radius in radii] == [row["radius"], row["error"]]
    assert f"left elbow: error {row['error']:.0f} mm, 90 % radius {row['radius']:.0f} mm" in svg


def test_worst_pose_shows_what_was_hidden() -> None:
    results = made_up(("flow",), sweeps=False, main=1, worst=1)
    pose = results["units"][0]["worst"][0]
    svg = sticks.worst_pose_svg(pose, results["skeleton"], 0, "a pose")
    # two hidden joints have no keypoint, but a place in the truth, from the camera and from the side
    assert svg.count('class="hidden"') == 2 * 2
    assert svg.count('class="hypothesis"') == 2 * 8
    assert "nan" not in svg
    assert len(get_skeleton("h36m17").bones) == 16
    (truth, _) = re.findall(r'd="([^"]+)" class="truth"', svg)
    assert truth.count("M") == 16


def test_ranks_are_drawn_as_gaps_from_uniform() -> None:
    results = made_up(("flow", "relative"), sweeps=False, main=1)
    units = {unit["lifter"]: unit for unit in results["units"]}
    units["flow"]["SBC"]["histograms"]["depth of head"] = [100] * 10 + [0] * 10
    svg = sticks.ranks_svg(units, figures.styles_of(list(units)), "depth of head", "ranks")
    assert svg is not None
    lines = re.findall(r'<path d="([^"]+)" style="([^"]+)" class="ranks"', svg)
    assert [style for _, style in lines] == ["stroke:var(--c0)", "stroke:var(--c1)"]
    points = [tuple(map(float, point.split())) for point in lines[0][0][1:].split("L")]
    assert len(points) == 21
    assert points[0] == (*points[-1][1:], 0.0) == (0.0, 0.0)
    # half of the ranks' range holds all of them: a share of 1 at 0.5, cut at 0.3 above its level
    assert points[2] == (10.0, -10.0)
    assert points[10] == (50.0, -30.0)
    assert svg.count('class="band"') == 1
    assert sticks.ranks_svg({"flow": {}}, figures.styles_of(["flow"]), "depth of head", "ranks") is None


def test_wrong_quantities_are_named(text: str) -> None:
    assert "depth of head: wrong for all" in text
    assert "depth of left wrist: wrong" not in text


def test_a_colour_is_a_lifter_and_nothing_else(text: str) -> None:
    """All that has a hue is --c0 ... --c5; everything else is ink and greys, whose channels are close together."""
    style = text[text.index("<style>") : text.index("</style>")]
    for name, colour in re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", style):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        grey = max(red, green, blue) - min(red, green, blue) <= 30
        assert grey == (not re.fullmatch(r"c\d", name)), (name, colour)
    assert not re.findall(r"(?<!-)#[0-9a-fA-F]{3,6}\b", re.sub(r"--[a-z0-9]+: #[0-9a-f]{6}", "", style))
    used = set(re.findall(r"[.\w\s]*\{[^}]*var\(--c\d\)[^}]*\}", style))
    assert used == set()  # styles never take a lifter's colour: only pictures of that lifter do


def _seen(colour: str, kind: str) -> tuple[float, ...]:
    """CIELAB of a colour as people see it who lack one kind of cones (Machado et al. 2009, full severity)."""
    matrices = {
        "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
        "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
        "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    }
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    linear = [max(0.0, sum(m * c for m, c in zip(row, linear, strict=True))) for row in matrices[kind]]
    to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.9505, 1.0, 1.089)
    ratio = [sum(m * c for m, c in zip(row, linear, strict=True)) / w for row, w in zip(to_xyz, white, strict=True)]
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in ratio)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("kind", ["normal", "protan", "deutan", "tritan"])
def test_lifters_are_told_apart_by_colour_blind_people(kind: str, text: str) -> None:
    """And from the inks, on light and dark screens: at least 10 in CIELAB, four times what is just noticed."""
    style = text[text.index("<style>") : text.index("</style>")]
    light, dark = style.split("@media (prefers-color-scheme: dark)")[:2]
    for half in (light, dark):
        colours = dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", half))
        lifters = [_seen(colours[f"c{i}"], kind) for i in range(6)]
        inks = [_seen(colours[name], kind) for name in ("ink", "panel")]
        for i, a in enumerate(lifters):
            for b in (*lifters[i + 1 :], *inks):
                assert sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5 > 10, (kind, i)


# -- browser -----------------------------------------------------------------------------------------------


def test_in_a_browser(browser: Any, tmp_path: Path) -> None:
    save_report(peer_results(), tmp_path / "report.html")
    address = (tmp_path / "report.html").as_uri()
    page = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="light").new_page()
    page.set_default_timeout(60_000)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    assert [url for url in asked if not url.startswith("data:")] == [address]

    table = page.locator("table", has=page.locator("caption", has_text="League table of cmu-test"))
    names = "rows => rows.map(row => row.dataset.name)"
    column = table.locator("thead tr:last-child th", has_text="NLL")
    assert table.locator("tbody th").evaluate_all(names)[0] == "flow"
    column.locator("button").click()
    assert column.get_attribute("aria-sort") == "ascending"
    assert table.locator("tbody th").evaluate_all(names)[:2] == ["flow", "mdn"]
    column.locator("button").click()
    assert column.get_attribute("aria-sort") == "descending"
    # missing numbers stay last
    assert table.locator("tbody th").evaluate_all(names)[:2] == ["mdn", "flow"]
    table.locator("thead tr:last-child th", has_text="lifter").locator("button").click()
    assert table.locator("tbody th").evaluate_all(names)[1:] == sorted(LIFTERS)

    ink = "getComputedStyle(document.querySelector('#best-of figure svg text')).fill"
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ink)
    assert light == "rgb(24, 32, 43)"
    assert dark == "rgb(233, 237, 242)"
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
