"""Pictures to keypoints: detectors, found by their names, and the models that they need.

>>> from poseterior.detect import detector_names
>>> "blazepose" in detector_names()
True
"""

from __future__ import annotations

from .base import Detector, Person
from .detectors import detector_names, load_detector
from .films import people_in_film
from .pictures import people_in_picture

__all__ = ["Detector", "Person", "detector_names", "load_detector", "people_in_film", "people_in_picture"]
