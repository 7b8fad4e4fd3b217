"""Mocap in, labelled observations out: importers, the pose store, the simulator."""
