"""Layers that two or more lifters share."""
