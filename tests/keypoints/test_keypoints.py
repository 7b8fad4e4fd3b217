"""`Keypoints2D`: validation, hidden joints, maps between skeletons."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.keypoints import Keypoints2D, PoseId, confidence_to_spread, person_size


def poses(*batch: int, joints: int = 17, seed: int = 0) -> torch.Tensor:
    return 50 + 400 * torch.rand(*batch, joints, 2, generator=torch.Generator().manual_seed(seed))


def fields(keypoints: Keypoints2D) -> list[torch.Tensor]:
    return [keypoints.xy, keypoints.covariance, keypoints.visible, keypoints.size]


@pytest.mark.parametrize("stored", [0.0, -1e30, 1e38, math.nan, math.inf])
@pytest.mark.parametrize("target", ["coco17", "h36m17", "lsp14"])
def test_a_hidden_value_changes_nothing(stored: float, target: str) -> None:
    xy = poses(3)
    visible = torch.ones(3, 17, dtype=torch.bool)
    visible[0, 4], visible[1, 11], visible[2, :3] = False, False, False
    confidence = torch.full((3, 17), 0.7)
    reference = Keypoints2D(xy, visible=visible, confidence=confidence, skeleton="coco17").as_skeleton(target)

    hidden = torch.where(visible[..., None], xy, stored)
    scores = torch.where(visible, confidence, stored)
    changed = Keypoints2D(hidden, visible=visible, confidence=scores, skeleton="coco17").as_skeleton(target)
    for before, after in zip(fields(reference), fields(changed), strict=True):
        assert torch.equal(before, after)
    assert all(torch.isfinite(value).all() for value in fields(changed)[:2])

    covariance = torch.where(visible[..., None, None], 4 * torch.eye(2), stored)
    with_covariance = [
        Keypoints2D(values, covariance, visible, skeleton="coco17").as_skeleton(target) for values in (xy, hidden)
    ]
    for before, after in zip(*map(fields, with_covariance), strict=True):
        assert torch.equal(before, after)


def test_nan_and_low_confidence_mean_missing() -> None:
    xy = poses(2)
    xy[0, 3, 1] = math.nan
    keypoints = Keypoints2D(xy, confidence=torch.linspace(0, 1, 17))
    assert not keypoints.visible[0, 3]
    assert keypoints.visible[1].tolist() == [c / 16 >= 0.1 for c in range(17)]
    assert (keypoints.xy[0, 3] == 0).all()
    assert torch.equal(keypoints.covariance[0, 3], torch.eye(2))


def test_confidence_becomes_the_documented_covariance() -> None:
    square = torch.tensor([[0.0, 0.0], [200.0, 0.0], [200.0, 200.0], [0.0, 200.0]])
    size = person_size(square, torch.ones(4, dtype=torch.bool))
    assert float(size) == pytest.approx(100 * math.sqrt(2))
    spread = confidence_to_spread(torch.tensor([1.0, 0.5, 0.01, 3.0]), size)
    expected = [0.015 * float(size) / c for c in (1, 0.5, 0.1, 1)]
    assert spread.tolist() == pytest.approx(expected)
    assert confidence_to_spread(torch.ones(1), torch.tensor(1.0)).tolist() == [0.5]  # px at the least


def test_standard_deviations_make_covariances() -> None:
    keypoints = Keypoints2D(poses(2), covariance=torch.full((2, 17), 3.0))
    assert torch.equal(keypoints.covariance, 9 * torch.eye(2).expand(2, 17, 2, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xy": poses(2, joints=16)}, "xy has shape (2, 16, 2); skeleton 'h36m17' needs (..., 17, 2)"),
        ({"xy": [["a"]]}, "xy: expected an array of numbers"),
        ({"xy": [[[10**400, 0]] * 17]}, "xy: expected an array of numbers"),
        ({"skeleton": "h36m"}, "unknown skeleton 'h36m'; known: h36m17"),
        (
            {"xy": torch.where(torch.arange(17)[:, None] == 2, math.inf, poses(2))},
            "xy: pose 0, joint 'right_knee' has [inf, inf]; expected finite pixel coordinates, or visible=False",
        ),
        (
            {"xy": torch.where(torch.arange(17)[:, None] == 2, 1e8, poses(2))},
            "xy: pose 0, joint 'right_knee' has [100000000.0, 100000000.0]; expected pixel coordinates within",
        ),
        (
            {"xy": poses(2) * math.nan, "visible": True},
            "xy: pose 0, joint 'pelvis' has [nan, nan]; expected finite",
        ),
        (
            {"confidence": torch.tensor([1.0] * 16 + [-0.5])},
            "confidence: pose 0, joint 'right_wrist' has -0.5; expected a finite number, not negative",
        ),
        ({"confidence": torch.tensor([math.nan] * 17)}, "confidence: pose 0, joint 'pelvis' has nan"),
        ({"confidence": torch.ones(3)}, "confidence has shape (3,); expected (2, 17)"),
        ({"visible": [["yes"]]}, "visible: expected an array of numbers"),
        ({"xy": poses(2).numpy() * 1j}, "xy: expected an array of numbers, got complex64"),
        ({"xy": poses(2) * 1j}, "xy: expected an array of numbers, got complex64"),
        ({"xy": np.array([["a"]])}, "xy: expected an array of numbers, got <U1"),
        ({"xy": np.zeros((2, 17, 2), "M8[s]")}, "xy: expected an array of numbers, got datetime64[s]"),
        ({"xy": [[1.0, 2.0], [3.0]]}, "xy: expected an array of numbers (rows of different lengths)"),
        ({"xy": {"a": 1}}, "xy: expected an array of numbers, got dict"),
        ({"xy": None}, "xy: expected an array of numbers, got NoneType"),
        (
            {"visible": torch.tensor([1.0] * 16 + [0.5])},
            "visible: pose 0, joint 'right_wrist' has 0.5; expected true or false; scores are given as confidence=",
        ),
        ({"visible": torch.full((17,), math.nan)}, "visible: pose 0, joint 'pelvis' has nan; expected true or false"),
        (
            {"covariance": torch.tensor([[1.0, 2.0], [2.0, 1.0]])},
            "covariance: pose 0, joint 'pelvis' has [[1.0, 2.0], [2.0, 1.0]]; expected a symmetric positive "
            "definite 2x2 matrix",
        ),
        ({"covariance": torch.tensor([[2.0, 0.0], [1.0, 2.0]])}, "expected a symmetric positive"),
        (
            {"covariance": 0.0},
            "covariance: pose 0, joint 'pelvis' has 0.0; expected a standard deviation above 0 px",
        ),
        ({"covariance": -1.0}, "expected a standard deviation above 0 px"),
        ({"image_size": (640, 0)}, "image_size: expected (width, height) above 0, got [640.0, 0.0]"),
        ({"image_size": (math.inf, 2)}, "image_size: expected (width, height) above 0"),
        ({"intrinsics": (-5, 5, 0, 0)}, "intrinsics: expected (fx, fy, cx, cy) with fx, fy above 0"),
        ({"height": 178}, "height: expected metres between 0.3 and 3, got 178.0"),
        ({"ids": [PoseId("a", 0, 0)]}, "ids has 1 entries; there are 2 poses"),
    ],
)
def test_wrong_input_is_named(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Keypoints2D(**{"xy": poses(2), **change})


@pytest.mark.parametrize(
    "form",
    [
        lambda xy: xy[::-1][::-1], lambda xy: np.flip(np.flip(xy, -1).copy(), -1), np.asfortranarray,
        lambda xy: xy.astype(">f8"), lambda xy: xy.astype(np.longdouble), lambda xy: xy.astype(np.float16),
        lambda xy: xy.astype(object), lambda xy: xy.astype(int), lambda xy: xy.tolist(), lambda xy: [*xy],
        lambda xy: [torch.tensor(pose) for pose in xy], np.ma.masked_array,
        lambda xy: np.lib.stride_tricks.as_strided(xy, xy.shape, xy.strides, writeable=False),
    ],
    ids=[
        "negative strides", "flipped", "Fortran", "big endian", "long double", "half", "objects", "whole numbers",
        "lists", "list of arrays", "list of tensors", "masked, nothing masked", "read-only",
    ],
)  # fmt: skip
def test_every_array_of_numbers_is_taken_without_a_word(form: Callable, recwarn: pytest.WarningsRecorder) -> None:
    xy = np.round(poses(2).double().numpy())
    assert torch.equal(Keypoints2D(form(xy)).xy, torch.from_numpy(xy).float())
    assert [str(warning.message) for warning in recwarn] == []


def test_what_an_array_masks_is_missing() -> None:
    xy = np.ma.masked_array(poses(2).numpy(), mask=False)
    xy[1, 3] = np.ma.masked
    xy[0, 5, 1] = np.ma.masked
    assert (~Keypoints2D(xy).visible).nonzero().tolist() == [[0, 5], [1, 3]]


def test_keypoints_keep_numbers_of_their_own() -> None:
    size = np.array([[640, 480], [640, 480]], np.float32)
    keypoints = Keypoints2D(poses(2), image_size=size)
    size[:] = 1
    assert keypoints.image_size.tolist() == [[640, 480], [640, 480]]


def test_gradients_flow_through_keypoints_until_they_are_cut() -> None:
    xy = poses(2).requires_grad_()
    keypoints = Keypoints2D(xy)
    assert keypoints.xy.requires_grad
    cut = keypoints.detach()
    assert not cut.xy.requires_grad
    assert not cut.covariance.requires_grad
    assert torch.equal(cut.xy, keypoints.xy)
    assert cut.detach() is cut


def test_indexing_is_over_poses_only() -> None:
    keypoints = Keypoints2D(poses(3, 4), height=torch.linspace(1, 2, 12).reshape(3, 4))
    assert keypoints[1, 2].xy.shape == (17, 2)
    assert keypoints[1, 2].ids == (keypoints.ids[6],)
    assert torch.equal(keypoints[..., 0].xy, keypoints.xy[:, 0])
    assert torch.equal(keypoints[::2, 1:].covariance, keypoints.covariance[::2, 1:])
    mask = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)) > 0.5
    assert torch.equal(keypoints[mask].height, keypoints.height[mask])
    assert [i.frame for i in keypoints[mask].ids] == mask.flatten().nonzero().flatten().tolist()
    with pytest.raises(IndexError):
        keypoints[0, 0, 0]
    with pytest.raises(IndexError, match="no batch dimension"):
        keypoints[0, 0][0]


def test_flatten_and_cat_keep_everything() -> None:
    keypoints = Keypoints2D(poses(2, 3), image_size=(640, 480), confidence=0.5, height=1.7)
    flat = keypoints.flatten()
    assert (flat.batch_shape, len(flat), flat.ids) == ((6,), 6, keypoints.ids)
    joined = Keypoints2D.cat([keypoints, flat])
    assert torch.equal(joined.covariance, torch.cat([flat.covariance, flat.covariance]))
    assert (joined.image_size == torch.tensor([640.0, 480.0])).all()
    assert joined.ids == keypoints.ids * 2
    with pytest.raises(InputError, match="different skeletons: coco17, h36m17"):
        Keypoints2D.cat([flat, Keypoints2D(poses(1), skeleton="coco17")])
    with pytest.raises(InputError, match="no keypoints to join"):
        Keypoints2D.cat([])


def test_with_camera_keeps_what_is_not_given() -> None:
    keypoints = Keypoints2D(poses(2), image_size=(640, 480)).with_camera(height=1.8)
    assert keypoints.image_size.tolist() == [[640, 480]] * 2
    assert keypoints.height.tolist() == pytest.approx([1.8, 1.8])
    assert keypoints.intrinsics.isnan().all()


def test_as_skeleton_covariance_is_that_of_the_noise() -> None:
    generator = torch.Generator().manual_seed(3)
    xy = poses(joints=17, seed=2).double()
    factor = torch.randn(17, 2, 2, generator=generator, dtype=torch.float64) * 6
    covariance = factor @ factor.mT + 2 * torch.eye(2)
    source = Keypoints2D(xy, covariance, skeleton="coco17")
    target = source.as_skeleton("h36m17")

    from poseterior.geometry.skeletons import skeleton_map

    plan = skeleton_map("coco17", "h36m17")
    draws = 200_000
    noise = torch.einsum(
        "jab,njb->nja",
        torch.linalg.cholesky(covariance),
        torch.randn(draws, 17, 2, generator=generator, dtype=torch.float64),
    )
    moved = torch.einsum("ts,nsc->ntc", torch.as_tensor(plan.weights), xy + noise)
    spread = torch.as_tensor(plan.spread) * source.size.double()
    moved = moved + spread[:, None] * torch.randn(draws, 17, 2, generator=generator, dtype=torch.float64)
    for i, joint in enumerate(target.skeleton.joints):
        if not target.visible[i]:
            continue
        measured = torch.cov(moved[:, i].T)
        torch.testing.assert_close(target.xy[i].double(), moved[:, i].mean(0), atol=0.5, rtol=0)
        worst = (measured - target.covariance[i].double()).abs().max() / measured.diagonal().max()
        assert worst < 0.02, joint


def test_a_joint_is_missing_where_a_part_of_it_is() -> None:
    visible = torch.ones(17, dtype=torch.bool)
    visible[get_skeleton("coco17").index("left_hip")] = False
    target = Keypoints2D(poses(), visible=visible, skeleton="coco17").as_skeleton("h36m17")
    gone = {j for j, seen in zip(target.skeleton.joints, target.visible, strict=True) if not seen}
    assert gone == {"left_hip", "pelvis", "spine", "head_top"}


@pytest.mark.parametrize("name", ["coco17", "body25", "halpe26", "mediapipe33", "lsp14", "mpi17", "mpii16", "smpl22"])
def test_every_skeleton_reaches_h36m(name: str) -> None:
    joints = len(get_skeleton(name))
    target = Keypoints2D(poses(4, joints=joints), skeleton=name).as_skeleton("h36m17")
    assert target.visible.float().mean() > 0.9
    assert torch.isfinite(target.xy).all()
    assert (torch.linalg.eigvalsh(target.covariance) > 0).all()


def test_a_person_one_pixel_high_and_nobody_visible() -> None:
    tiny = Keypoints2D(torch.rand(17, 2, generator=torch.Generator().manual_seed(0)))
    assert (torch.linalg.eigvalsh(tiny.covariance) > 0).all()
    nobody = Keypoints2D(torch.full((2, 17, 2), math.nan)).as_skeleton("coco17")
    assert not nobody.visible.any()
    assert torch.isfinite(nobody.xy).all()
    assert torch.isfinite(nobody.covariance).all()


# -- trusted copies ------------------------------------------------------------------------------------


@pytest.fixture
def validations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is checked from now on: "all" for a run of the constructor, and every name of a value."""
    seen: list[str] = []
    construct, refuse, refuse_constant = Keypoints2D.__init__, Keypoints2D._refuse, Keypoints2D._refuse_constant

    def counted(self: Keypoints2D, *args: object, **more: object) -> None:
        seen.append("all")
        construct(self, *args, **more)

    monkeypatch.setattr(Keypoints2D, "__init__", counted)
    for name, check in (("_refuse", refuse), ("_refuse_constant", refuse_constant)):

        def checked(self: Keypoints2D, bad: object, value: object, what: str, *more: object, check=check) -> None:
            seen.append(what)
            check(self, bad, value, what, *more)

        monkeypatch.setattr(Keypoints2D, name, checked)
    return seen


def test_copies_are_not_validated_again(validations: list[str]) -> None:
    keypoints = Keypoints2D(poses(4, 3), skeleton="coco17", confidence=0.5)
    assert validations.count("all") == 1
    del validations[:]
    for copy in (keypoints.flatten(), keypoints[1:], keypoints.to("cpu"), keypoints.as_skeleton("h36m17")):
        assert len(Keypoints2D.cat([copy, copy])) == 2 * len(copy)
    keypoints._replace(ids=keypoints.ids)
    assert validations == []
    assert keypoints.with_camera(height=1.7).height[0, 0] == pytest.approx(1.7)
    assert validations == ["height"]  # what is given is checked, and nothing else


def test_a_lift_validates_its_keypoints_once(validations: list[str], tmp_path) -> None:
    from poseterior.keypoints.reading import read_keypoints
    from poseterior.lifters import load
    from poseterior.lifting.poses import lift

    xy = poses(5, joints=17).tolist()
    (tmp_path / "a.json").write_text(json.dumps({"skeleton": "coco17", "keypoints": xy}))
    keypoints = read_keypoints(tmp_path / "a.json")
    assert validations.count("all") == 1
    del validations[:]
    assert len(lift(load("mdn"), keypoints, samples=2, chunk=2).mean) == 5
    assert validations == []


def test_a_simulated_batch_is_not_validated(validations: list[str]) -> None:
    from conftest import made_up_mocap
    from poseterior.data.simulation.simulator import Simulator

    seen = Simulator(made_up_mocap(frames=40, clips=2))(64, torch.Generator().manual_seed(0)).keypoints
    seen[:32].to("cpu")
    assert validations == []
    again = Keypoints2D(
        seen.xy, seen.covariance, seen.visible, seen.image_size, intrinsics=seen.intrinsics, height=seen.height
    )
    for name in ("xy", "covariance", "visible", "image_size", "intrinsics", "height", "amplitude"):
        assert torch.equal(getattr(again, name).nan_to_num(-1), getattr(seen, name).nan_to_num(-1)), name
    assert again.ids == seen.ids


@pytest.mark.parametrize("stored", [0.0, -1e30, math.nan, math.inf])
def test_trusted_keypoints_hide_what_hidden_joints_hold(stored: float) -> None:
    visible = torch.rand(3, 17, generator=torch.Generator().manual_seed(0)) > 0.5
    covariance = torch.where(visible[..., None, None], 4 * torch.eye(2), stored)
    amplitude = torch.where(visible, 0.5, stored)
    xy = torch.where(visible[..., None], poses(3), stored)
    made = Keypoints2D.trusted(xy, covariance, visible, torch.tensor([640.0, 480.0]), amplitude=amplitude)
    same = Keypoints2D(xy, covariance, visible, (640, 480), amplitude=amplitude)
    for name in ("xy", "covariance", "visible", "image_size", "intrinsics", "height", "amplitude"):
        assert torch.equal(getattr(made, name).nan_to_num(-1), getattr(same, name).nan_to_num(-1)), name
    hidden = same._replace(visible=visible & (torch.arange(17) > 8), xy=same.xy + 1)
    assert (hidden.xy[~hidden.visible] == 0).all()
    assert hidden.amplitude[~hidden.visible].isnan().all()


def test_ids_follow_their_poses_through_copies() -> None:
    ids = [PoseId(f"{i}.jpg", i, 0) for i in range(12)]
    keypoints = Keypoints2D(poses(3, 4), ids=ids)
    assert keypoints[1:][0, ::2].ids == (ids[4], ids[6])
    assert keypoints[1:].flatten()[[5, 0]].ids == (ids[9], ids[4])
    assert Keypoints2D.cat([keypoints[2], keypoints[0][:1]]).ids == (*ids[8:], ids[0])
    unnamed = Keypoints2D(poses(5))
    assert unnamed[3:].to("cpu")[1:].ids == (PoseId("", 4, 0),)
    assert unnamed.as_skeleton("coco17").ids == unnamed.ids == tuple(PoseId("", i, 0) for i in range(5))


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_no_pose_at_all_is_a_batch_too(shape: tuple[int, ...]) -> None:
    nobody = Keypoints2D(torch.zeros(*shape, 17, 2))
    assert (len(nobody), nobody.ids) == (0, ())
    assert nobody.flatten().batch_shape == (0,)
    assert nobody.as_skeleton("coco17").xy.shape == (*shape, 17, 2)
    joined = Keypoints2D.cat([nobody, Keypoints2D(poses(2))])
    assert (len(joined), len(joined[:0]), joined[:0].ids) == (2, 0, ())
