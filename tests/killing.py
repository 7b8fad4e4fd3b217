"""Commands that are killed in the middle of their work."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

#: Of processes whose answers are compared: sums in one order.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def killed_after_a_piece(command: Sequence[str], log: Path) -> None:
    """Run a command, and kill it as soon as a piece of its file is complete, as its log says."""
    process = subprocess.Popen(command, env=ONE_THREAD, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.read_bytes().count(b"\n") > 1:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    process.wait()
    assert process.returncode == -signal.SIGKILL
