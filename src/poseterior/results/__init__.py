"""What lifting returns, and the files that other programs read."""
