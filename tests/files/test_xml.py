"""XML without document types."""

from __future__ import annotations

from pathlib import Path

import pytest

from poseterior.files.errors import InputError
from poseterior.files.xml import read_xml

BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;">]><a>&y;</a>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>'


def test_elements_texts_and_attributes(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text('<?xml version="1.0" encoding="utf-8"?><a><b c="é">1 &amp; 2</b><b/></a>', encoding="utf-8")
    root = read_xml(path, 1000)
    assert [(b.tag, b.attrib, b.text) for b in root] == [("b", {"c": "é"}, "1 & 2"), ("b", {}, None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"has a document type \(<!DOCTYPE ...>\), which keypoints do not need"),
        (OUTSIDE, "has a document type"),
        ("<a><b></a>", r"not readable as XML \(line 1, column 9: mismatched tag\)"),
        ("<a>", "not readable as XML .*is it truncated"),
        ("<a>&x;</a>", "undefined entity"),
        ("<a>" * 200, "nested too deeply"),
        ("<a>" + "b" * 2000 + "</a>", r"has 2,007 bytes; expected at most 1,000"),
    ],
)
def test_others_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_xml(path, 1000)
