#!/usr/bin/env bash
# One would guess: a file *_keypoints.json in OpenPose's layout with 75 numbers a person holds BODY_25: joint 1 is the
# neck between the shoulders (2 and 5), joint 8 the middle of the hips (9 and 12).
# What happens: the demonstration data in the wheel of pose2sim 0.8.3 has 25 joints in the order of BODY_25B, OpenPose's
# experimental model: 5 and 6 are the shoulders, 11 and 12 the hips, 17 the neck, and there is no middle of the hips.
# Nothing in the file says so; where the joints stand does.
# Version: pose2sim 0.8.3. Source: https://github.com/CMU-Perceptual-Computing-Lab/openpose_train (experimental models)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m pip download -q --disable-pip-version-check --no-deps --no-binary=:none: pose2sim==0.8.3
python3 - <<'PY'
import glob
import json
import statistics
import zipfile

archive = zipfile.ZipFile(glob.glob("*.whl")[0])
names = [n for n in archive.namelist() if n.endswith(".json") and "pose" in n.lower() and "json" in n]
ratios = {"BODY_25": [], "BODY_25B": []}
used = 0
for name in names:
    people = json.loads(archive.read(name)).get("people", [])
    for person in people:
        flat = person.get("pose_keypoints_2d") or []
        if len(flat) != 75:
            continue
        joint = [flat[3 * i : 3 * i + 3] for i in range(25)]

        def gap(between, left, right):
            if min(joint[between][2], joint[left][2], joint[right][2]) < 0.3:
                return None
            middle = [(joint[left][k] + joint[right][k]) / 2 for k in (0, 1)]
            height = max(j[1] for j in joint if j[2] > 0.3) - min(j[1] for j in joint if j[2] > 0.3)
            return ((joint[between][0] - middle[0]) ** 2 + (joint[between][1] - middle[1]) ** 2) ** 0.5 / height

        found = {"BODY_25": gap(8, 9, 12), "BODY_25B": gap(17, 5, 6)}
        if None in found.values():
            continue
        used += 1
        for key, value in found.items():
            ratios[key].append(value)
print(f"{len(names)} files, {used} people")
what = {"BODY_25": "joint 8 to the middle of 9 and 12 (hips)", "BODY_25B": "joint 17 to the middle of 5 and 6 (shoulders)"}
for key, values in ratios.items():
    print(f"if {key}: {what[key]}, median share of the height: {statistics.median(values):.3f}")
assert statistics.median(ratios["BODY_25B"]) < 0.05 < 0.1 < statistics.median(ratios["BODY_25"])
PY
