"""Distributions over 3D poses, and over the rotations that make them."""
