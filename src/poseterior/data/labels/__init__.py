"""Depth-order labels: which of two joints is nearer to the camera, by people or simulated."""
