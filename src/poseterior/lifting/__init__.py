"""From keypoints and a lifter to results."""
