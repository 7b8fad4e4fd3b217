"""People for the tests of keypoint files, and the same people in every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from poseterior.geometry.skeletons import get_skeleton

COCO = get_skeleton("coco17").joints
#: A standing woman in a picture of 640 x 480 px, COCO's joints.
PERSON = np.array([
    [320.3, 90.1], [327.2, 83.4], [313.6, 83.2], [336.1, 88.7], [304.4, 88.3], [362.2, 140.9], [278.7, 141.3],
    [380.5, 200.2], [262.1, 200.6], [386.4, 255.8], [256.3, 252.2], [345.7, 255.4], [297.9, 256.1], [350.6, 335.3],
    [292.8, 336.7], [352.9, 415.5], [288.2, 416.4],
])  # fmt: skip
SIZE = (640, 480)
#: Probabilities, the joints of the face seen best.
SCORES = np.array([0.95, 0.93, 0.94, 0.6, 0.88, 0.96, 0.97, 0.9, 0.92, 0.85, 0.87, 0.93, 0.94, 0.9, 0.91, 0.86, 0.88])


def write(form: str, folder: Path, xy: Any, scores: Any = None, size: tuple[int, int] | None = None) -> Path:
    """A file of one format with people ``(people, 17, 2)``, one a frame, and their scores ``(people, 17)``.

    MediaPipe's has COCO's joints in their places, and the others between nose and hip; ``npy`` without scores is flat.
    """
    xy = np.asarray(xy, np.float64)
    xy = xy[None] if xy.ndim == 2 else xy
    given = scores is not None
    scores = np.broadcast_to(SCORES if scores is None else scores, xy.shape[:2])
    path = folder / f"{form}.{'npy' if form.startswith('npy') else 'npz' if form == 'npz' else 'json'}"
    triples = np.concatenate([xy, scores[..., None]], -1)
    if form in ("npy", "npy-flat", "npz"):
        if form == "npz":
            np.savez(path, keypoints=xy, confidence=scores, **({} if size is None else {"image_size": size}))
        else:
            np.save(path, triples if form == "npy" and given else xy.reshape(len(xy), -1))
        return path
    document: Any
    if form == "coco-results":
        document = [
            {"image_id": i, "category_id": 1, "keypoints": t.ravel().tolist(), "score": 0.9}
            for i, t in enumerate(triples)
        ]
    elif form == "alphapose":
        document = [
            {"image_id": f"{i}.jpg", "category_id": 1, "keypoints": t.ravel().tolist(), "score": 2.9, "idx": 1}
            for i, t in enumerate(triples)
        ]
    elif form == "openpose":
        body = list(get_skeleton("body25").joints)
        wide = np.zeros((len(xy), 25, 3))
        wide[:, [body.index(joint) for joint in COCO]] = triples
        document = [{"version": 1.3, "people": [{"pose_keypoints_2d": t.ravel().tolist()}]} for t in wide]
    elif form == "mmpose":
        document = [[{"keypoints": p.tolist(), "keypoint_scores": s.tolist()}] for p, s in zip(xy, scores, strict=True)]
    elif form == "mediapipe":
        blaze = list(get_skeleton("mediapipe33").joints)
        share = np.linspace(0.1, 0.9, 33)[:, None]
        wide = (1 - share) * triples[:, :1] + share * triples[:, 12:13]
        wide[:, [blaze.index(joint) for joint in COCO]] = triples
        document = [[{"x": x, "y": y, "z": -0.1, "visibility": v} for x, y, v in t.tolist()] for t in wide]
    elif form == "coco-annotations":
        labelled = triples.copy()
        labelled[..., 2] = 2
        images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(len(xy))]
        if size is not None:
            images = [{**image, "width": size[0], "height": size[1]} for image in images]
        notes = [{"image_id": i, "category_id": 1, "keypoints": t.ravel().tolist()} for i, t in enumerate(labelled)]
        document = {"images": images, "annotations": notes, "categories": [{"id": 1, "name": "person"}]}
    else:
        document = {"joints": list(COCO), "keypoints": (triples if given else xy).tolist()}
        if size is not None:
            document["image_size"] = size
    path.write_text(json.dumps(document))
    return path


#: All formats that `write` knows.
FORMS = (
    "coco-results", "alphapose", "openpose", "mmpose", "mediapipe", "coco-annotations", "plain", "npy", "npy-flat",
    "npz",
)  # fmt: skip
