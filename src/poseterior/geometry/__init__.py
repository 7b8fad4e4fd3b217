"""Skeletons, bones and cameras: pure functions of tensors."""
