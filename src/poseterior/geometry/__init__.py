"""Skeletons, bones, frames and cameras: pure functions of tensors."""
