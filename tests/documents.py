"""README.md, CONTRIBUTING.md and docs/ as data: their links, code and commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "src" / "poseterior" / "examples"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(r"^(<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SHELL = ("", "sh")
#: Where one command of a line ends and another begins.
_BETWEEN = re.compile(r"&&|\|| -c (?=')")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """Fenced code: its language, and why it is not run (empty where it is)."""

    language: str
    code: str
    reason: str


def blocks(page: Path) -> list[Block]:
    found = _FENCE.finditer(page.read_text())
    return [Block(m["language"], m["code"], m["reason"] or "") for m in found]


def prose(page: Path) -> str:
    """The page without its fenced code."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Targets of the links and pictures that stay in the repository."""
    return [link for link in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """What its headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {re.sub(r"[\s-]+", "-", heading.strip()) for heading in plain}


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command line, from fences and from code between words."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language in _SHELL:
            lines += block.code.replace("\\\n", " ").splitlines()
    lines += re.findall(r"`([^`\n]+)`", prose(page))
    for line in lines:
        for part in _BETWEEN.split(line):
            text = part.strip().strip("'") if part.strip().count("'") % 2 else part
            try:
                words = shlex.split(text, comments=True)
            except ValueError:  # an apostrophe: no command
                continue
            while words and re.fullmatch(r"[A-Z_]+=\S+", words[0]):
                words = words[1:]
            if words:
                yield words
