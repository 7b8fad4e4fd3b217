import json
import zipfile

import numpy as np
import pytest
import torch
from test_heatmaps import draw, parameters

from poseterior import read_keypoints
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints.heatmap_files import read_heatmaps, save_keypoints
from poseterior.keypoints.heatmaps import HeatmapGaussians, fit_gaussians

PUBLISHED_NAMES = ["RFoot", "RKnee", "RHip", "LHip", "LKnee", "LFoot", "Hip", "Thorax", "Neck", "HeadTop", "RWri",
                   "RElb", "RSho", "LSho", "LElb", "LWri"]  # fmt: skip


def write(path, **arrays):
    arrays.setdefault("heatmaps", draw(*parameters(32)).reshape(2, 16, 64, 64).numpy().astype(np.float32))
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_files_come_back_as_keypoints_with_covariance(tmp_path, suffix):
    maps = draw(*parameters(32)).reshape(2, 16, 64, 64).numpy().astype(np.float32)
    maps[1, 0] = 0.4
    boxes = np.array([[0, 0, 256, 256], [50, 60, 306, 380]])
    source = write(
        tmp_path / "maps.npz", heatmaps=maps, joint_names=np.array(PUBLISHED_NAMES), boxes=boxes,
        image_size=np.array([640, 480]),
    )  # fmt: skip
    file = read_heatmaps(source)
    assert file.shape == (2, 16, 64, 64)
    assert file.joints == file.target == SKELETONS["mpii16"]
    fit = HeatmapGaussians.cat([fit_gaussians(block) for block in file.blocks()])
    keypoints = file.keypoints(fit)
    out = tmp_path / f"keypoints{suffix}"
    save_keypoints(out, keypoints, fit, file.joints)

    back = read_keypoints(out)
    assert back.skeleton.name == "mpii16"
    assert [i.frame for i in back.ids] == [0, 1]
    assert (~back.visible).nonzero().tolist() == [[1, 0]]
    for name in ("xy", "covariance", "image_size"):
        torch.testing.assert_close(getattr(back, name), getattr(keypoints, name), msg=name)
    torch.testing.assert_close(back.amplitude, keypoints.amplitude, equal_nan=True)
    torch.testing.assert_close(back.amplitude[0], fit.amplitude[0])
    torch.testing.assert_close(back.xy[1, 3], fit.mean[1, 3] * torch.tensor([4.0, 5.0]) + torch.tensor([52.0, 62.5]))
    if suffix == ".npz":
        with np.load(out) as saved:
            assert saved["gaussian_failed"].tolist() == fit.failed.tolist()
            np.testing.assert_array_equal(saved["gaussian_covariance"], fit.covariance)
            assert np.isnan(saved["keypoints"][1, 0]).all()


def test_joints_in_any_order_are_mapped_by_name(tmp_path):
    maps = draw(*parameters(17)).reshape(1, 17, 64, 64).numpy()
    names = list(reversed(SKELETONS["coco17"].joints))
    file = read_heatmaps(write(tmp_path / "maps.npz", heatmaps=maps, joint_names=np.array(names)))
    fit = fit_gaussians(torch.cat(list(file.blocks())))
    keypoints = file.keypoints(fit)
    assert keypoints.skeleton.name == "coco17"
    torch.testing.assert_close(keypoints.xy, fit.mean.flip(1))
    torch.testing.assert_close(keypoints.covariance, fit.covariance.flip(1))
    other = read_heatmaps(file.path, "h36m17").keypoints(fit)
    torch.testing.assert_close(other.xy[0, 3], fit.mean[0, names.index("right_ankle")])


def test_blocks_are_the_file(tmp_path, monkeypatch):
    import poseterior.keypoints.heatmap_files as module

    maps = draw(*parameters(80)).reshape(5, 16, 64, 64).numpy().astype(np.float16)
    monkeypatch.setattr(module, "_BLOCK_PIXELS", 2 * 16 * 64 * 64)
    blocks = list(read_heatmaps(write(tmp_path / "maps.npz", heatmaps=maps)).blocks())
    assert [len(block) for block in blocks] == [2, 2, 1]
    np.testing.assert_array_equal(torch.cat(blocks), maps.astype(np.float32))
    monkeypatch.setattr(module, "_BLOCK_PIXELS", 1000)
    with pytest.raises(InputError, match="heatmaps: 16 of 64 x 64 px per pose; at most 1000 px in all"):
        read_heatmaps(tmp_path / "maps.npz")


MAPS = np.zeros((2, 16, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"heatmaps": MAPS[0]}, r"heatmaps: array of shape \(16, 8, 8\); expected \(poses, joints, height, width\)"),
        ({"heatmaps": np.asfortranarray(MAPS)}, "stored in Fortran order; save numpy.ascontiguousarray"),
        ({"heatmaps": np.array([[None]])}, r"heatmaps: holds Python objects \(a pickle\), which are never loaded"),
        ({"heatmaps": MAPS.astype(complex)}, "heatmaps: holds complex128; expected an array of numbers"),
        ({"heatmaps": np.zeros((2, 17, 8, 8))}, r"17 joints may be h36m17 or coco17 or mpi17: pass --skeleton"),
        ({"joint_names": np.array(["nose"])}, r"joint_names: array of shape \(1,\); expected \(16,\)"),
        ({"joint_names": np.array([*PUBLISHED_NAMES[:15], "LWirst"])}, "unknown joint 'LWirst'; did you mean 'left_wr"),
        ({"boxes": np.zeros((3, 4))}, r"boxes: array of shape \(3, 4\); expected \(4,\) or \(2, 4\)"),
        ({"boxes": np.zeros((2, 4))}, r"boxes: box 0: \[0.0, 0.0, 0.0, 0.0\]; expected left < right"),
        ({"boxes": np.ones(4), "offset": np.zeros(2)}, "boxes and offset: give boxes, or scale and offset, not both"),
        ({"scale": np.zeros(2)}, "scale: expected image pixels per heatmap pixel, above 0"),
        ({"image_size": np.zeros(3)}, r"image_size has shape \(3,\); expected \(2, 2\)"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, arrays, message):
    path = write(tmp_path / "maps.npz", **({"heatmaps": MAPS} | arrays))

    def keypoints():
        file = read_heatmaps(path)
        return file.keypoints(fit_gaussians(torch.cat(list(file.blocks()))))

    with pytest.raises(InputError, match=message) as error:
        keypoints()
    assert str(error.value).startswith(f"{path}: ")


def test_wrong_scale_names_pose_and_joint(tmp_path):
    maps = MAPS.copy()
    maps[1, 2, 3, 4] = 255
    with pytest.raises(InputError, match="heatmaps: pose 1, joint 'right_hip' reaches 255; expected scores from 0 to"):
        list(read_heatmaps(write(tmp_path / "maps.npz", heatmaps=maps)).blocks())


def test_files_that_are_no_archives(tmp_path):
    path = tmp_path / "maps.npz"
    with pytest.raises(InputError, match=r"maps\.npz: no such file"):
        read_heatmaps(path)
    np.savez(path, other=MAPS)
    with pytest.raises(InputError, match=r"no array named 'heatmaps'; the file holds 'other'"):
        read_heatmaps(path)
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match="npz: not a readable archive"):
        read_heatmaps(path)
    write(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="is it truncated"):
        read_heatmaps(path)


def test_a_damaged_archive_of_any_compression_is_refused(tmp_path):
    path = tmp_path / "maps.npz"
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        np.savez(tmp_path / "plain.npz", heatmaps=np.random.default_rng(0).random((8, 16, 32, 32)))
        with zipfile.ZipFile(tmp_path / "plain.npz") as plain, zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("heatmaps.npy", plain.read("heatmaps.npy"))
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 100] = bytes(100)
        path.write_bytes(content)
        with pytest.raises(
            InputError, match=r"maps\.npz: (npz: not a readable archive|heatmaps: not a readable npy header)"
        ):
            list(read_heatmaps(path).blocks())


def test_a_header_that_claims_too_much_is_refused(tmp_path):
    path = tmp_path / "maps.npz"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 16, 64, 64), }"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("heatmaps.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match=r"heatmaps: the header claims 26214400000 bytes .* the file holds 0"):
        read_heatmaps(path)


def test_the_json_is_plain_json(tmp_path):
    maps = draw(*parameters(32)).reshape(2, 16, 64, 64)
    maps[1, 0] = 0.4
    fits = fit_gaussians(maps)
    save_keypoints(tmp_path / "out.json", fits.keypoints("mpii16"), fits, SKELETONS["mpii16"])
    entries = json.loads((tmp_path / "out.json").read_text())
    assert [entry["frame"] for entry in entries] == [0, 1]
    assert entries[1]["keypoints"][0] is None
    with pytest.raises(InputError, match=r"unknown extension '.csv'; use one of: .npz, .json"):
        save_keypoints(tmp_path / "out.csv", fits.keypoints("mpii16"), fits, SKELETONS["mpii16"])
