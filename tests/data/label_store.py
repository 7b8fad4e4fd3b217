"""Simulated labels as the store that annotators' labels come in."""

import numpy as np
import torch

from poseterior.data.labels.labels import DepthLabels, image_id
from poseterior.data.labels.simulated import LabelledObservations
from poseterior.geometry.skeletons import SKELETONS

BODY = SKELETONS["h36m17"]


def to_label_store(observations: LabelledObservations) -> DepthLabels:
    """The labels of observations as a label store, so that they can be kept, exported and merged."""
    rows, columns = torch.nonzero(observations.confidence > 0, as_tuple=True)
    names = np.array(BODY.joints)
    images = np.array([image_id(i) for i in observations.keypoints.ids])
    joints = observations.pairs[rows, columns].numpy()
    return DepthLabels(
        image=images[rows.numpy()],
        joint_a=names[joints[:, 0]],
        joint_b=names[joints[:, 1]],
        label=observations.order[rows, columns].to(torch.int8).numpy(),
        confidence=observations.confidence[rows, columns].float().numpy(),
        annotator=np.full(len(rows), ""),
        time=np.full(len(rows), np.nan),
        skeleton=BODY.name,
    )
