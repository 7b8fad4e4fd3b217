"""Files that other programs read: results as npz, Parquet or JSON."""

from __future__ import annotations

from .results import LiftResult, check_writable, load_result, save_result

__all__ = ["LiftResult", "check_writable", "load_result", "save_result"]
