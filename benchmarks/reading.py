"""Reading a long clip of MMPose's: time and memory beside those of ``json.load``, and of another checkout.

    python benchmarks/reading.py [--frames 20000] [--people 4] [--joints 133]
    git worktree add /tmp/before v1.0
    python benchmarks/reading.py /tmp/before

Writes a JSON file as MMPose's inferencer does (indented with tabs), reads it in processes of their own, in turns, at
once and in parts (as `poseterior lift --clip off` does), and prints the peak of the memory, the time and, of another
checkout, their ratios. Of the times the best of each counts, of processor time: other programs on the machine do not
matter then.
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

_IN_PARTS = """
import json, resource, sys, time
import poseterior as pp
from poseterior.keypoints.detections import Options
from poseterior.keypoints.parts import KeypointParts
wall, own = time.perf_counter(), time.process_time()
poses, total = 0, 0.0
for part in KeypointParts(sys.argv[1], Options(sys.argv[1])):
    poses, total = poses + len(part), total + float(part.xy.double().sum())
print(json.dumps({
    "file": pp.__file__, "poses": poses, "sum": total,
    "wall": time.perf_counter() - wall, "cpu": time.process_time() - own,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""
_PLAIN = """
import json, resource, sys, time
wall, own = time.perf_counter(), time.process_time()
with open(sys.argv[1]) as file:
    found = json.load(file)
print(json.dumps({
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


def measure(code: str, file: Path, checkout: Path = HERE) -> dict[str, float]:
    """One reading in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        env=environment,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    if not str(found.get("file", checkout)).startswith(str(checkout)):
        raise SystemExit(f"{found['file']} was imported instead of {checkout}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="?", help="a checkout of what to compare with")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--joints", type=int, default=133)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    ways = {"json.load": (_PLAIN, HERE), "now": (_READ, HERE), "in parts": (_IN_PARTS, HERE)}
    if arguments.before is not None:
        ways["before"] = (_READ, arguments.before.resolve())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.json"
        write_clip(file, arguments.frames, arguments.people, arguments.joints)
        size = file.stat().st_size / 2**20
        print(f"{arguments.frames} frames of {arguments.people} people, {arguments.joints} joints: {size:.0f} MiB")
        rounds = [
            {name: measure(code, file, checkout) for name, (code, checkout) in ways.items()}
            for _ in range(arguments.rounds)
        ]
    now = rounds[0]["now"]
    for name, other in rounds[0].items():
        if "sum" in other and (other["poses"] != now["poses"] or abs(other["sum"] / now["sum"] - 1) > 1e-9):
            raise SystemExit(f"they do not read the same: {name} {other}, now {now}")
    best = {name: {key: min(one[name][key] for one in rounds) for key in ("wall", "cpu", "peak")} for name in ways}
    for name, found in best.items():
        print(f"{name:10s}{found['wall']:8.2f} s ({found['cpu']:.2f} s of the processor), peak {found['peak']:.0f} MiB")
    if "before" in best:
        for key, words in (("wall", "time"), ("cpu", "processor time"), ("peak", "peak memory")):
            print(f"{words}: {best['before'][key] / best['now'][key]:.2f} times less")


if __name__ == "__main__":
    main()
