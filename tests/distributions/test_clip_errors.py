"""The file that says how errors hang together."""

import json

import pytest

from poseterior.distributions.clip_errors import CLIPS_FILE, ClipErrors, Parts, read_clip_errors
from poseterior.files.errors import InputError
from poseterior.lifters import load

ERRORS = ClipErrors(Parts(1.1, 0.25, 0.125, 0.5), Parts(0.9, 0.5, 0.25, 0.25), hidden=1.5, size=0.75, height=1.25)


def test_round_trip():
    assert ClipErrors.from_json(ERRORS.to_json()) == ERRORS
    assert ERRORS.across.white == 0.625


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": "much"}, "clips.json: hidden: expected a number from 0.1 to 10, got 'much'"),
        ({"size": 0}, "clips.json: size: expected a number from 0.01 to 100, got 0"),
        ({"depth": {"scale": 1}}, "clips.json: field 'depth': expected 'scale', 'constant', 'slow' and 'seconds'"),
        (
            {"depth": {"scale": 1, "constant": 0.6, "slow": 0.5, "seconds": 1}},
            "clips.json: field 'depth': constant and slow: expected shares of together 0.999 at most, got 1.1",
        ),
        ({"more": 1}, "clips.json: expected the fields 'across', 'depth', 'hidden', 'size' and 'height'"),
        ({"format": "other"}, "clips.json: not a file of format 'poseterior-clips-1'"),
    ],
)
def test_broken_files_say_what_is_wrong(change, message):
    saved = json.loads(ERRORS.to_json()) | change
    with pytest.raises(InputError) as error:
        ClipErrors.from_json(json.dumps(saved))
    assert str(error.value).startswith(message)
    assert str(error.value).endswith("make it anew with `poseterior calibrate --clips`")


def test_not_json():
    with pytest.raises(InputError, match=r"^clips\.json: not readable as JSON"):
        ClipErrors.from_json("{")


def test_saved_with_a_lifter_and_read_with_it(tmp_path):
    lifter = load("mdn")
    lifter.clips = ClipErrors(ERRORS.across, ERRORS.depth, recalibration=lifter.recalibration)
    lifter.save_pretrained(tmp_path / "mine")
    assert (tmp_path / "mine" / CLIPS_FILE).is_file()
    found = load(tmp_path / "mine").clips
    assert found.across == ERRORS.across
    assert found.recalibration.levels == lifter.recalibration.levels
    # what was fitted with the evidence, or belongs to the recalibration, is none without
    assert load(tmp_path / "mine", recalibrated=False).clips is None


def test_of_other_weights(tmp_path):
    lifter = load("mdn")
    lifter.clips = ClipErrors(recalibration=lifter.recalibration)
    lifter.save_pretrained(tmp_path / "mine")
    path = tmp_path / "mine" / "config.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(InputError) as error:
        read_clip_errors(tmp_path / "mine", lifter.skeleton.joints)
    assert "belongs to another config.json than the one beside it" in str(error.value)


def test_absent(tmp_path):
    assert read_clip_errors(tmp_path, load("mdn").skeleton.joints) is None
