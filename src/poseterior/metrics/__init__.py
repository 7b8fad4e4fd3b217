"""Accuracy, calibration and plausibility: pure functions of tensors, metres in, millimetres out where named so."""
