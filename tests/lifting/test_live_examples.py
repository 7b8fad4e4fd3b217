"""The programs of docs/live.md that need a camera or a robot: what of them can be checked without."""

import ast

import pytest

import poseterior as pp
from documents import DOCS, blocks
from poseterior.lifting.live import LivePose

PROGRAMS = [block.code for block in blocks(DOCS / "live.md") if block.language == "python" and block.reason]


def test_there_are_two() -> None:
    assert len(PROGRAMS) == 2
    assert "cv2.VideoCapture" in PROGRAMS[0]
    assert "rclpy.spin" in PROGRAMS[1]


@pytest.mark.parametrize("code", PROGRAMS, ids=["webcam", "ros2"])
def test_programs_are_python_and_name_what_exists(code: str) -> None:
    tree = ast.parse(code)
    compile(tree, "docs/live.md", "exec")
    imported = {
        alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert "pp" in imported
    live = pp.LiveLifter(pp.load("mdn"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
        if name == "pp":
            assert hasattr(pp, node.attr)
        elif name == "live":
            assert hasattr(live, node.attr)
        elif name == "now":
            assert hasattr(LivePose, node.attr) or node.attr == "skeleton"


@pytest.mark.parametrize("code", PROGRAMS, ids=["webcam", "ros2"])
def test_calls_of_ours_have_arguments_that_exist(code: str) -> None:
    import inspect

    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "pp":
                inspect.signature(getattr(pp, node.func.attr)).bind(
                    *node.args, **{word.arg: word.value for word in node.keywords}
                )
