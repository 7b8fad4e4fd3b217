"""What is not imported before it is needed: PyTorch where nothing is lifted, its compiler and sympy anywhere."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from poseterior.geometry.skeletons import get_skeleton

_LOADED = """
import json, sys
from poseterior.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as stopped:
    code = stopped.code
slow = {"torch", "torch._dynamo", "sympy", "roma", "poseterior.lifters.rotations"}
print(json.dumps([code, sorted(slow & set(sys.modules))]))
"""


def loaded(*words: str) -> set[str]:
    """Which of the modules that take long a command has imported."""
    run = subprocess.run([sys.executable, "-c", _LOADED, *words], capture_output=True, text=True, check=True)
    code, found = json.loads(run.stdout.splitlines()[-1])
    assert not code, run.stderr
    return set(found)


@pytest.mark.parametrize("words", ["--help", "lift --help", "lifters", "formats"])
def test_what_lifts_nothing_does_without_torch(words):
    assert loaded(*words.split()) == set()


def test_one_frame_is_lifted_without_what_only_others_need(tmp_path):
    names = get_skeleton("h36m17").joints
    places = np.random.default_rng(0).uniform(100, 400, (17, 2)).tolist()
    (tmp_path / "one.json").write_text(json.dumps({"joints": names, "keypoints": places, "image_size": [640, 480]}))
    assert loaded("lift", str(tmp_path / "one.json"), "--out", str(tmp_path / "one.npz")) == {"torch"}
