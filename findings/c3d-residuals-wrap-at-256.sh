#!/usr/bin/env bash
# One would guess: a C3D file with points stored as floats keeps their residuals as floats too, so that a residual of
# 300 (mm) or 0.05 written with ezc3d is 300 or 0.05 when it is read again.
# What happens: the fourth number of a point is packed as two bytes (camera mask and residual) also in float files;
# ezc3d writes the residual modulo 256 and without its fraction: 300 comes back as 44, 0.05 as 0.
# Version: ezc3d 1.7.2, numpy 2.2.6. Source: https://www.c3d.org/HTML/Documents/residualpoint.htm and
# https://github.com/pyomeca/ezc3d
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check ezc3d==1.7.2 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'PY'
import ezc3d
import numpy as np

written = np.array([0.0, 0.05, 5.0, 255.0, 256.0, 300.0])
file = ezc3d.c3d()
file["parameters"]["POINT"]["RATE"]["value"] = [30.0]
file["parameters"]["POINT"]["LABELS"]["value"] = [f"p{i}" for i in range(len(written))]
file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
points = np.ones((4, len(written), 1))
file["data"]["points"] = points
file["data"]["meta_points"]["residuals"] = written.reshape(1, -1, 1)
file.write("residuals.c3d")
found = ezc3d.c3d("residuals.c3d")["data"]["meta_points"]["residuals"][0, :, 0]
for before, after in zip(written, found):
    print(f"residual {before:g} is read as {after:g}")
assert found.tolist() == [0.0, 0.0, 5.0, 255.0, 0.0, 44.0], found.tolist()
PY
