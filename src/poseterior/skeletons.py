"""Joint orders by name: what the columns of keypoints and poses mean.

>>> SKELETONS["coco17"].joints[:3]
('nose', 'left_eye', 'right_eye')
"""

from .geometry.skeletons import SKELETONS, Skeleton, get_skeleton

__all__ = ["SKELETONS", "Skeleton", "get_skeleton"]
