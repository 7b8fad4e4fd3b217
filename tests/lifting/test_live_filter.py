"""The filter a frame at a time against the one over a whole clip."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from poseterior.lifting.clips.filtering import Seen, filtered, smoothed
from poseterior.lifting.clips.motion import motion_densities
from poseterior.lifting.live import kalman, lively
from poseterior.lifting.live.kalman import FrameSeen
from poseterior.lifting.live.members import Members, mirrored
from poseterior.lifting.live.shots import Shot, looked_back

FRAMES, SIZE = 14, 6
DENSITY = np.array([0.3, 0.3, 0.3, 20.0, 20.0, 20.0])


def seen_clip(seed: int = 0, size: int = SIZE) -> Seen:
    """Uneven times, some frames missing, errors that change from frame to frame."""
    rng = np.random.default_rng(seed)
    step = np.full(FRAMES, 1 / 30)
    step[5] = 0.2
    known = np.ones((FRAMES, size), dtype=bool)
    known[3:5] = False
    value = 0.2 * rng.standard_normal((FRAMES, size))
    slow = 0.02 + 0.03 * rng.random((FRAMES, size))
    white = (0.01 + 0.02 * rng.random((FRAMES, size))) ** 2
    return Seen(value, known, step, slow, white, np.linspace(0.1, 0.5, size))


def row_of(seen: Seen, frame: int) -> FrameSeen:
    return FrameSeen(seen.value[frame], seen.known[frame], seen.slow[frame], seen.white[frame])


def shots_of(seen: Seen, density: np.ndarray, hypotheses: int = 2, seed: int = 0) -> list[Shot]:
    """Run the filter and its hypotheses over a clip."""
    state, members, found = kalman.start(seen.value.shape[1]), Members(hypotheses, seen.value.shape[1], seed), []
    for frame in range(len(seen.value)):
        step = float(seen.step[frame])
        if frame:
            moves = kalman.step_of(step, seen.seconds)
            state = kalman.moved(state, moves, density)
            members.move(moves, density)
        state, gain, _, _ = kalman.told(state, row_of(seen, frame))
        if seen.known[frame].any():
            members.tell(row_of(seen, frame), gain)
        found.append(
            Shot(
                SimpleNamespace(middle=np.zeros(state.x.shape)),
                state,
                members.now,
                members.forecast,
                step,
                density,
                seen.seconds,
            )
        )
    return found


def test_one_frame_at_a_time_is_the_forward_pass_of_the_smoother():
    seen = seen_clip()
    whole = filtered(seen, DENSITY)
    state, evidence = kalman.start(SIZE), np.zeros(SIZE)
    for frame in range(FRAMES):
        if frame:
            state = kalman.moved(state, kalman.step_of(float(seen.step[frame]), seen.seconds), DENSITY)
        state, _, surprise, told = kalman.told(state, row_of(seen, frame))
        evidence += told
        np.testing.assert_allclose(state.mean, whole.mean[frame], rtol=0, atol=1e-12)
        np.testing.assert_allclose(state.covariance, whole.covariance[frame], rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(surprise, whole.surprise[frame], rtol=1e-9)
    np.testing.assert_allclose(evidence, whole.log_evidence, rtol=1e-9)


@pytest.mark.parametrize("lag", [1, 5, FRAMES - 1])
def test_looking_back_is_the_smoother(lag):
    seen = seen_clip()
    smooth = smoothed(filtered(seen, DENSITY), seen, DENSITY)
    known = looked_back(shots_of(seen, DENSITY)[-1 - lag :])
    np.testing.assert_allclose(known.mean[:, 0], smooth.mean[-1 - lag], atol=1e-9)
    np.testing.assert_allclose(known.covariance[:, 0, 0], smooth.variance[-1 - lag], rtol=1e-6, atol=1e-12)


def test_hypotheses_are_draws_of_what_is_known():
    """Now, a moment ago, and from frame to frame: 20,000 of them, to 3 %."""
    seen = seen_clip()
    count = 20_000
    shots = shots_of(seen, DENSITY, 2 * count, seed=1)
    smooth = smoothed(filtered(seen, DENSITY), seen, DENSITY)
    last = shots[-1]
    for name, variance in (("x", last.state.xx), ("v", last.state.vv), ("s", last.state.ss)):
        drawn = getattr(last.now, name)
        np.testing.assert_allclose(drawn.var(0), variance, rtol=0.04)
        np.testing.assert_allclose(drawn.mean(0) / np.sqrt(variance), 0.0, atol=5 / math.sqrt(count))
    np.testing.assert_allclose((last.now.x * last.now.v).mean(0), last.state.xv, rtol=0.15)
    ago = looked_back(shots[-6:])
    np.testing.assert_allclose(ago.deviations.var(0), smooth.variance[-6], rtol=0.04)


def test_hypotheses_come_with_their_mirror_images():
    half = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert mirrored(half, 3).tolist() == [[1.0, 2.0], [-1.0, -2.0], [3.0, 4.0]]
    assert np.array_equal(mirrored(half, 4).sum(0), np.zeros(2))


def test_a_bank_that_forgets_nothing_chooses_as_the_clip_does(monkeypatch):
    monkeypatch.setattr(lively, "MEMORY", 1e12)
    seen = seen_clip()
    bank = lively.Liveliness(SIZE, seen.seconds)
    for frame in range(FRAMES):
        bank.see(float(seen.step[frame]) if frame else None, row_of(seen, frame))
    np.testing.assert_allclose(bank.density, motion_densities(seen), rtol=1e-6)


def test_liveliness_follows_a_person_who_begins_to_move():
    """Two seconds at rest, then swings of half a metre: within a second the joint is a hundred times livelier."""
    rng = np.random.default_rng(0)
    times = np.arange(120) / 30
    place = np.where(times < 2, 0.0, 0.25 * (1 - np.cos(2 * np.pi * 1.5 * (times - 2))))
    bank = lively.Liveliness(3, np.full(3, 0.1))
    found = []
    for frame, value in enumerate(place):
        noise = 0.01 * rng.standard_normal(3)
        bank.see(
            1 / 30 if frame else None,
            FrameSeen(value + noise, np.ones(3, bool), np.full(3, 1e-4), np.full(3, 1e-4)),
        )
        found.append(float(bank.density[0]))
    assert found[59] < 0.1
    assert found[89] > 100 * found[59]
