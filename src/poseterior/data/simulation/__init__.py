"""Observations made of recorded motions: views, noise, hidden joints, other bodies, fixed protocols."""
