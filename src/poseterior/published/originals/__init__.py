"""Weights that the original code wrote, read into the published networks, and written again as that code reads them."""
