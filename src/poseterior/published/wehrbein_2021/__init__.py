"""Conditional normalizing flow (Wehrbein et al., ICCV 2021, arXiv 2107.13788)."""

from . import objective

__all__ = ["objective"]
