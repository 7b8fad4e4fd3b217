"""The shipped weights still do what their cards say (a short benchmark), and the comparison would see it if not."""

import pytest
import torch

import poseterior as pp
from conftest import SHARED, made_up_store
from poseterior.data.simulation.protocols import simulate
from poseterior.evaluation.cards import CARD_POSES, CARD_PROTOCOLS, CARD_SAMPLES, card_numbers, drift
from poseterior.evaluation.measure import measure
from poseterior.lifters import list_shipped, read_card


@pytest.mark.parametrize("name", list_shipped())
def test_cards_tell_the_short_benchmark(name: str) -> None:
    told = read_card(name)["benchmark"]
    assert told["command"].startswith("poseterior bench --data STORE --protocol cmu-test cmu-occluded")
    assert all(told[protocol]["MPJPE"] > 0 for protocol in CARD_PROTOCOLS)


def test_drift_is_seen(tmp_path) -> None:
    data = simulate(made_up_store(tmp_path / "store"), "cmu-test", 60)
    lifter = pp.load("supervised")
    unit = measure(lifter, data, samples=50, mode_poses=0, worst=0)
    card = {"benchmark": {"cmu-test": card_numbers(unit)}}
    assert drift(card, unit, "cmu-test") == []
    again = measure(lifter, data, samples=50, seed=1, mode_poses=0, worst=0)
    assert drift(card, again, "cmu-test") == []
    with torch.no_grad():
        for value in lifter.parameters():
            value.mul_(1.02)
    changed = drift(card, measure(lifter, data, samples=50, mode_poses=0, worst=0), "cmu-test")
    assert any(sentence.startswith("MPJPE on cmu-test is") for sentence in changed)
    assert drift({}, unit, "cmu-test") == ["the card says nothing about cmu-test"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):
    from poseterior.data.mocap.importing import import_mocap

    folder = SHARED / "data" / "mocap" / "cmu" / "bvh" / "test"
    if not folder.is_dir():
        pytest.skip(f"the development mocap is not here: {folder}")
    path = tmp_path_factory.mktemp("cards") / "store"
    import_mocap(folder, path, "bvh")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", list_shipped())
def test_weights_do_what_their_cards_say(store, name: str) -> None:
    for protocol in CARD_PROTOCOLS:
        unit = measure(pp.load(name), simulate(store, protocol, CARD_POSES), CARD_SAMPLES)
        assert drift(read_card(name), unit, protocol) == []
