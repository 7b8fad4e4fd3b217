"""How soon the playground's page is drawn, and how often it answers while a joint is dragged.

    poseterior playground --no-open
    python benchmarks/playground.py playground/index.html

Opens the page from the disk in headless Chromium, drags a joint by sixty events a second for some seconds, and prints
seconds by the clock and of the browser's processor time: other work on the machine changes the first, hardly the
second. One thread computes and draws.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
#: Finds a joint as a pointer does, and drags it in circles; how many answers came, and how long it took.
DRAG = """(seconds) => new Promise((done) => {
  const board = document.getElementById("board"), edge = board.getBoundingClientRect();
  board.setPointerCapture = () => {};
  const lifts = () => +document.getElementById("main").dataset.lifts;
  const fire = (kind, x, y) => board.dispatchEvent(new PointerEvent(kind, {
    clientX: edge.left + x, clientY: edge.top + y, pointerType: "mouse", pointerId: 1, buttons: 1, bubbles: true }));
  let joint = null;
  for (let y = 8; y < edge.height && !joint; y += 6)
    for (let x = 8; x < edge.width && !joint; x += 6) {
      fire("pointermove", x, y);
      if (board.classList.contains("over")) joint = [x, y];
    }
  const before = lifts(), began = performance.now();
  let step = 0;
  fire("pointerdown", ...joint);
  const timer = setInterval(() => {
    step++;
    fire("pointermove", joint[0] + 40 * Math.sin(step / 15), joint[1] + 40 - 40 * Math.cos(step / 15));
    if (performance.now() - began < 1000 * seconds) return;
    clearInterval(timer);
    fire("pointerup", ...joint);
    done([lifts() - before, (performance.now() - began) / 1000]);
  }, 1000 / 60);
})"""


def _processes() -> dict[int, tuple[int, float, str]]:
    """Parent, seconds of processor time and command line of all processes."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            line = (folder / "cmdline").read_text()
        except OSError:  # it has ended meanwhile
            continue
        found[int(folder.name)] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / tick, line)
    return found


def browser_seconds() -> float:
    """Processor time of all of the browser's processes, which are below this one: what computes, draws and shows."""
    everything = _processes()

    def ours(number: int) -> bool:
        while number in everything:
            if number == os.getpid():
                return True
            number = everything[number][0]
        return False

    return sum(used for n, (_, used, line) in everything.items() if "chrom" in line.split("\0")[0] and ours(n))


def opened(page: Any, address: str) -> None:
    """Open the page, and print when it was drawn and when it answered."""
    before, began = browser_seconds(), time.perf_counter()
    page.goto(address, wait_until="commit")
    for name, true in (
        ("first drawing", "!!document.querySelector('#joints .within')?.textContent"),
        ("answers", "document.getElementById('main').dataset.state === 'ready'"),
    ):
        while not page.evaluate(true):
            page.wait_for_timeout(10)
        print(f"{name}: {time.perf_counter() - began:.2f} s, processor {browser_seconds() - before:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="index.html that poseterior playground wrote")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each drag")
    options = parser.parse_args()
    print(f"{options.page}: {options.page.stat().st_size / 1e6:.1f} MB; load {os.getloadavg()[0]:.1f}")
    with sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        opened(page, options.page.resolve().as_uri())
        page.wait_for_timeout(5000)  # until the browser has compiled what runs often
        for _ in range(3):
            before = browser_seconds()
            answers, seconds = page.evaluate(DRAG, options.seconds)
            used = browser_seconds() - before
            clock, processor = answers / seconds, answers / used
            print(f"{clock:.1f} answers a second by the clock, {processor:.1f} a second of one core")
        browser.close()


if __name__ == "__main__":
    main()
