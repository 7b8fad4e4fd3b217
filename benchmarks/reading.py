"""Reading a long clip of MMPose's: time and memory of this checkout beside those of another.

    git worktree add /tmp/before v1.0
    python benchmarks/reading.py /tmp/before [--frames 20000] [--people 4] [--joints 133]

Writes a JSON file as MMPose's inferencer does (indented with tabs), reads it with both in processes of their own, in
turns, and prints the peak of the memory, the time and their ratios. Of the times the best of each counts, of processor
time: other programs on the machine do not matter then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]

_READ = """
import json, resource, sys, time
import poseterior as pp
from poseterior.keypoints import reading
wall, own = time.perf_counter(), time.process_time()
found = pp.read_keypoints(sys.argv[1])
print(json.dumps({
    "file": pp.__file__, "poses": len(found), "sum": float(found.xy.double().sum()),
    "wall": time.perf_counter() - wall, "cpu": time.process_time() - own,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def write_clip(path: Path, frames: int, people: int, joints: int) -> None:
    """A clip in which a hundred frames recur."""
    draw = random.Random(0)

    def instance() -> dict[str, object]:
        return {
            "keypoints": [[draw.uniform(0, 1920), draw.uniform(0, 1080)] for _ in range(joints)],
            "keypoint_scores": [draw.random() for _ in range(joints)],
            "bbox": [[draw.uniform(0, 900) for _ in range(4)]],
            "bbox_score": draw.random(),
        }

    texts = [json.dumps([instance() for _ in range(people)], indent="\t").replace("\n", "\n\t\t\t") for _ in range(100)]
    with path.open("w") as stream:
        stream.write('{\n\t"meta_info": {},\n\t"instance_info": [')
        for frame in range(frames):
            comma = "," if frame else ""
            stream.write(
                f'{comma}\n\t\t{{\n\t\t\t"frame_id": {frame},\n\t\t\t"instances": {texts[frame % 100]}\n\t\t}}'
            )
        stream.write("\n\t]\n}\n")


def measure(checkout: Path, file: Path) -> dict[str, float]:
    """One reading in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(file)],
        env=environment,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    if not str(found["file"]).startswith(str(checkout)):
        raise SystemExit(f"{found['file']} was imported instead of {checkout}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout of what to compare with")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--joints", type=int, default=133)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.json"
        write_clip(file, arguments.frames, arguments.people, arguments.joints)
        size = file.stat().st_size / 2**20
        print(f"{arguments.frames} frames of {arguments.people} people, {arguments.joints} joints: {size:.0f} MiB")
        rounds = [
            [measure(checkout.resolve(), file) for checkout in (arguments.before, HERE)]
            for _ in range(arguments.rounds)
        ]
    before, now = ([round_[side] for round_ in rounds] for side in (0, 1))
    if before[0]["poses"] != now[0]["poses"] or abs(before[0]["sum"] / now[0]["sum"] - 1) > 1e-9:
        raise SystemExit(f"they do not read the same: {before[0]}, {now[0]}")
    for name, found in (("before", before), ("now", now)):
        wall, cpu, peak = (min(one[key] for one in found) for key in ("wall", "cpu", "peak"))
        print(f"{name:7s}{wall:8.2f} s ({cpu:.2f} s of the processor), peak {peak:.0f} MiB")
    for key, words in (("wall", "time"), ("cpu", "processor time"), ("peak", "peak memory")):
        print(f"{words}: {min(one[key] for one in before) / min(one[key] for one in now):.2f} times less")


if __name__ == "__main__":
    main()
