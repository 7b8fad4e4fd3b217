"""Every number of README.md and docs/ from one benchmark: docs/numbers.json, and the places that show it.

poseterior bench --data stores/cmu-test --strangers stores/strangers --cross stores/bandai --protocol main --out bench
python benchmarks/results_page.py bench/bench.json     # writes docs/numbers.json and fills README.md and docs/*.md
python benchmarks/results_page.py                      # fills the pages anew from docs/numbers.json

A page asks for a table or a list by a pair of comments, ``<!-- league:begin -->`` and ``<!-- league:end -->``: in
README.md `league` is the short table, in docs the long one; `standing` says who is best beyond chance on each protocol,
`findings` what the checks found, `command` how it was made. A single number stands between comments that name it,
``<!--= cmu-test/flow/MPJPE -->36.0<!--=-->``, with its interval if the name ends in ``±``. What the numbers are called:
`NUMBERS` of league_table.py. A test compares every page with docs/numbers.json.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from league_table import NUMBERS, leading_protocol, long_table, main_protocols, short_table, units_of

ROOT = Path(__file__).resolve().parents[1]
NUMBERS_FILE = ROOT / "docs" / "numbers.json"
_BLOCK = re.compile(r"(<!-- (league|standing|findings|command):begin -->\n).*?(<!-- \2:end -->)", re.DOTALL)
_NUMBER = re.compile(r"(<!--= ([^>]*?) -->)(.*?)(<!--=-->)")


def _folder(command: str) -> str:
    """What a command of the benchmark writes to."""
    words = command.split()
    return words[words.index("--out") + 1] if "--out" in words else "bench"


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """What docs/numbers.json holds, of a benchmark's result."""
    from poseterior.view.report.findings import standing_sentence

    protocols = main_protocols(result)
    by_protocol = {name: units_of(result, name) for name in protocols}
    return {
        "command": result["command"],
        "created": result["created"],
        "version": result["version"],
        "machine": result["machine"],
        "samples": result["samples"],
        "leading": leading_protocol(result),
        "poses": {name: result["protocols"][name]["poses"] for name in protocols},
        "numbers": {
            name: {unit["lifter"]: {key: text(unit) for key, text in NUMBERS.items()} for unit in units}
            for name, units in by_protocol.items()
        },
        "league": {"short": short_table(result), "long": long_table(result)},
        "standing": {
            name: standing_sentence(result, name, {unit["lifter"]: unit for unit in units})
            for name, units in by_protocol.items()
        },
        "findings": {
            name: {
                unit["lifter"]: [c["sentence"] for c in unit["checks"] if c["severity"] in ("error", "warning")]
                for unit in units
            }
            for name, units in by_protocol.items()
        },
    }


def _block(kind: str, found: dict[str, Any], readme: bool) -> str:
    """The text of a block."""
    if kind == "league":
        return str(found["league"]["short" if readme else "long"])
    if kind == "command":
        machine = found["machine"]
        return (
            f"```sh\n{found['command']}\n"
            f"python benchmarks/results_page.py {_folder(found['command'])}/bench.json\n```\n\n"
            f"poseterior {found['version']}, {machine['processor']}, {machine['threads']} threads, "
            f"{found['samples']} samples per pose."
        )
    if kind == "standing":
        return "\n".join(f"* `{name}`: {sentence}" for name, sentence in found["standing"].items() if sentence)
    first = found.get("leading") or next(iter(found["findings"]))
    rows = [f"* `{lifter}`: {text}" for lifter, texts in found["findings"][first].items() for text in texts]
    return "\n".join(rows) or "No errors and no warnings."


def _single(name: str, found: dict[str, Any]) -> str:
    """The text of a single number."""
    with_half = name.endswith("±")
    protocol, lifter, key = name.removesuffix("±").strip().split("/")
    try:
        text = found["numbers"][protocol][lifter][key]
    except KeyError as error:
        raise SystemExit(f"{name}: docs/numbers.json has no {error}") from None
    tail = " %" if text.endswith(" %") else ""
    return str(text if with_half else text.partition(" ±")[0].removesuffix(" %") + tail)


def fill(page: str, found: dict[str, Any], readme: bool = False) -> str:
    """A page with all its blocks and single numbers as ``found`` has them."""
    page = _BLOCK.sub(lambda m: f"{m[1]}{_block(m[2], found, readme)}\n{m[3]}", page)
    return _NUMBER.sub(lambda m: m[1] + _single(m[2], found) + m[4], page)


def pages() -> list[Path]:
    """README.md and all pages of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> None:
    if len(sys.argv) > 1:
        found = numbers(json.loads(Path(sys.argv[1]).read_text()))
        NUMBERS_FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        print(f"wrote {NUMBERS_FILE}")
    found = json.loads(NUMBERS_FILE.read_text())
    for path in pages():
        before = path.read_text()
        after = fill(before, found, readme=path.name == "README.md")
        if after != before:
            path.write_text(after)
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
