"""Which pictures stand in which section of a benchmark's report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import figures, sticks
from .clips import course_figure
from .figures import Measure, Style, figure_svg, number
from .html import markup
from .results import MAIN, MASKS, Bench, at, listing
from .tables import ENERGY

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

__all__ = ["Pictures"]

#: Axis labels of the sweeps that are known; other groups go by their name.
_SWEEPS = {
    "noise": "detector noise (mm at the body)",
    "pitch": "camera pitch (degrees)",
    "field of view": "field of view (degrees)",
}
_P_MPJPE = at("estimates", "mean", "P-MPJPE")
_SIGNED = at("calibration", "all", "signed")

#: A picture with its caption, as the template reads it.
Picture = dict[str, Any]


class Pictures:
    """Makes the pictures, so that no two of them have the same ids.

    Args:
        bench: what is drawn.
        styles: of the lifters, from `poseterior.view.report.figures.styles_of`.
        swatches: their pictures in legends.
    """

    def __init__(self, bench: Bench, styles: Mapping[str, Style], swatches: Mapping[str, Markup]) -> None:
        self.bench, self.styles, self.swatches = bench, styles, swatches
        self._count = 0

    def _picture(self, figure: Figure | None, description: str) -> Picture | None:
        if figure is None:
            return None
        self._count += 1
        return _plain(markup(figure_svg(figure, f"picture{self._count}", description)), description)

    def each_main(self, draw: Callable[[str], list[Picture | None]]) -> list[tuple[str, list[Picture]]]:
        """The pictures of each main protocol that has any."""
        drawn = ((name, [picture for picture in draw(name) if picture]) for name in self.bench.main)
        return [(name, found) for name, found in drawn if found]

    def together(self, draw: Callable[[str], list[Picture | None]]) -> list[Picture]:
        """The pictures of all main protocols in one list."""
        return [picture for _, found in self.each_main(draw) for picture in found]

    def best_of(self, protocol: str) -> list[Picture | None]:
        """Best of N against N."""
        figure = figures.best_of_figure(self.bench.units[protocol], self.styles)
        caption = f"Best of N hypotheses (solid) and mean (dashed) on {self.bench.label(protocol)}"
        return [self._picture(figure, caption)]

    def reliability(self, protocol: str) -> list[Picture | None]:
        """Observed against nominal coverage."""
        units, label = self.bench.units[protocol], self.bench.label(protocol)
        panels = (
            (("calibration", "visible"), "the visible joints", True),
            (("calibration", "missing"), "the missing joints", True),
            (("density coverage",), "the whole pose, regions of highest density", True),
            (("TARP",), "the whole pose, balls around random poses (TARP)", False),
        )
        return [
            self._picture(
                figures.levels_figure(units, self.styles, part, directions=sides), f"Coverage of {text}, on {label}"
            )
            for part, text, sides in panels
        ]

    def quantities(self, protocol: str) -> list[Picture | None]:
        """Ranks of named quantities (SBC): how far their shares are from uniform."""
        units = self.bench.units[protocol]
        histograms = [unit.get("SBC", {}).get("histograms", {}) for unit in units.values()]
        names = list(dict.fromkeys(name for table in histograms for name in table))
        found: list[Picture | None] = []
        for name in names:
            svg = sticks.ranks_svg(units, self.styles, name, f"Ranks of {name} on {self.bench.label(protocol)}")
            wrong = [lifter for lifter, unit in units.items() if _is_wrong(unit.get("SBC", {}), name)]
            note = f": wrong for {listing(wrong) if len(wrong) < len(units) else 'all'}" if wrong else ""
            found.append(_plain(markup(svg), f"{name}{note}") if svg else None)
        return found

    def joints(self, protocol: str) -> list[Picture | None]:
        """A stick figure per lifter."""
        found: list[Picture | None] = []
        for lifter, unit in self.bench.units[protocol].items():
            svg = sticks.skeleton_svg(unit, self.bench.skeleton, lifter)
            found.append({"svg": markup(svg), "caption": lifter, "swatch": self.swatches[lifter]} if svg else None)
        return found

    def courses(self, protocol: str) -> list[Picture | None]:
        """A clip over time, of each lifter whose clips were measured."""
        found: list[Picture | None] = []
        for lifter, unit in self.bench.units[protocol].items():
            course = (unit.get("clips") or {}).get("course")
            if course:
                text = (
                    f"{lifter}, clip {course['clip']} of {self.bench.label(protocol)}: places of joints and knee angles"
                )
                found.append(self._picture(course_figure(course, self.styles[lifter]), text))
        return found

    def masks(self) -> list[Picture]:
        """Measures against what is hidden."""
        measures: tuple[tuple[str, str, Measure, bool], ...] = (
            ("Signed calibration error of all joints", "signed calibration error", _SIGNED, True),
            ("90 % radius of the missing joints", "90 % radius (mm)", at("sharpness", "missing"), False),
            ("90 % radius of the visible joints", "90 % radius (mm)", at("sharpness", "visible"), False),
            ("Error of the mean after alignment", "P-MPJPE (mm)", _P_MPJPE, False),
        )
        bench, protocols = self.bench, self.bench.group(MASKS)
        found = []
        for title, y_label, measure, signed in measures:
            points = {
                lifter: [
                    (number(bench.protocols[name], "value"), str(bench.protocols[name].get("label", name)), value)
                    for name in protocols
                    if lifter in bench.units[name] and (value := measure(bench.units[name][lifter])) is not None
                ]
                for lifter in bench.lifters
            }
            figure = figures.masks_figure(points, self.styles, y_label, signed=signed)
            found.append(self._picture(figure, title))
        return [picture for picture in found if picture]

    def missing(self, protocol: str) -> list[Picture | None]:
        """Measures against the number of missing joints."""
        columns = (
            ("signed", "Signed calibration error", "signed calibration error", True),
            ("radius", "90 % radius of all joints", "90 % radius (mm)", False),
            ("MPJPE", "Error of the mean", "MPJPE (mm)", False),
        )
        return [
            self._picture(
                figures.bins_figure(self.bench.units[protocol], self.styles, key, y_label, signed=signed),
                f"{title} on {self.bench.label(protocol)}, by the number of missing joints",
            )
            for key, title, y_label, signed in columns
        ]

    def sweeps(self) -> list[tuple[str, list[Picture]]]:
        """Each group of protocols that is neither the main one nor masks, against its value."""
        bench = self.bench
        measures: tuple[tuple[str, str, Measure, bool], ...] = (
            ("Energy score", "energy score (mm)", ENERGY.measure, False),
            ("Error of the mean after alignment", "P-MPJPE (mm)", _P_MPJPE, False),
            ("Signed calibration error", "signed calibration error", _SIGNED, True),
        )
        found = []
        for group in dict.fromkeys(protocol["group"] for protocol in bench.protocols.values()):
            if group in (MAIN, MASKS):
                continue
            pictures = []
            for title, y_label, measure, signed in measures:
                points = {
                    lifter: [
                        (x, y)
                        for name in bench.group(group)
                        if lifter in bench.units[name]
                        and (x := number(bench.protocols[name], "value")) is not None
                        and (y := measure(bench.units[name][lifter])) is not None
                    ]
                    for lifter in bench.lifters
                }
                figure = figures.sweep_figure(points, self.styles, _SWEEPS.get(group, group), y_label, signed=signed)
                pictures.append(self._picture(figure, f"{title} against {group}"))
            drawn = [picture for picture in pictures if picture]
            if drawn:
                found.append((group, drawn))
        return found

    def cost(self, protocol: str) -> list[Picture | None]:
        """Accuracy against time."""
        bench = self.bench
        megabytes = {
            name: size for name, about in bench.lifters.items() if (size := number(about, "megabytes")) is not None
        }
        figure = figures.cost_figure(bench.units[protocol], self.styles, megabytes, ENERGY.measure, "energy score (mm)")
        return [self._picture(figure, f"Accuracy against cost on {bench.label(protocol)}")]

    def worst(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """The worst poses of each lifter on the first main protocol."""
        bench, found = self.bench, []
        for lifter, unit in bench.units[bench.main[0]].items():
            cards = []
            for pose in unit.get("worst", ()):
                clip, error = str(pose.get("clip", "")), number(pose, "error")
                hidden = [
                    name.replace("_", " ")
                    for name, seen in zip(bench.skeleton["joints"], pose["visible"], strict=True)
                    if not seen
                ]
                title = f"{Path(clip).name or 'pose'}, frame {pose.get('frame', '?')}"
                svg = sticks.worst_pose_svg(pose, bench.skeleton, self.styles[lifter].colour, f"{lifter}: {title}")
                cards.append(
                    {
                        "svg": markup(svg),
                        "title": title,
                        "action": pose.get("action") or "",
                        "error": "–" if error is None else f"{error:,.1f} mm",
                        "hidden": listing(hidden),
                    }
                )
            if cards:
                found.append((lifter, cards))
        return found


def _plain(svg: Markup, caption: str) -> Picture:
    return {"svg": svg, "caption": caption, "swatch": ""}


def _is_wrong(sbc: Mapping[str, Any], name: str) -> bool:
    p = number(sbc, "p values", name)
    return p is not None and p < sbc["level"]
