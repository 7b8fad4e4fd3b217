"""The published systems, one place a paper: its network, its objective where it is its own, its checkpoints."""
