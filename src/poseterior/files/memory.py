"""How much memory a process may have."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

__all__ = ["memory_limit"]

#: Where a container says its limit: cgroups of version 2, then 1.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
#: What is taken where the system does not tell.
_USUAL = 16 * 1024**3


@lru_cache(maxsize=1)
def memory_limit() -> int:
    """Bytes of memory of this machine, or of the container that the process is in; looked up once."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        found = _USUAL
    for path in _LIMITS:
        try:
            found = min(found, int(Path(path).read_text()))
        except (OSError, ValueError):  # none, or "max"
            continue
    return found
