"""The pictures of README.md and docs/, drawn anew.

    python benchmarks/pictures.py                            # docs/photograph.png, docs/demo.png, docs/many.png
    python benchmarks/pictures.py --store stores/cmu-test    # and docs/motion.png: a clip lifted from one noisy camera

The photograph is lifted by `poseterior lift` as a user would, and needs the detector's model once: `poseterior
detectors fetch blazepose`. The clip is made by `benchmarks/make_clip.py`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import poseterior as pp
from poseterior.cli import main as poseterior

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: The examples that the picture of the demonstration shows: half a body, and two whole ones.
SHOWN = [0, 2, 4]


def small(path: Path) -> None:
    """Keep the picture small: a palette of 256 colours."""
    from PIL import Image

    with Image.open(path) as image:
        palette = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    palette.save(path, optimize=True)
    print(f"wrote {path}, {path.stat().st_size / 1000:.0f} kB")


def photograph() -> None:
    """A photograph of NASA, in the public domain, which ships with the package."""
    with resources.as_file(resources.files("poseterior") / "examples" / "astronaut.jpg") as photo:
        if poseterior(["lift", str(photo), "--picture", str(DOCS / "photograph.png")]):
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="pose store of CMU's test clips, for the clip")
    options = parser.parse_args()
    photograph()
    examples()
    if options.store:
        motion(options.store)


if __name__ == "__main__":
    main()
