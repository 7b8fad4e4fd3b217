#!/usr/bin/env bash
# One would guess: the same (red, green, blue) of 0 to 255 is drawn as the same colour, whether it is given to
# `add_mesh_simple(color=...)` or to `add_batched_meshes_simple(batched_colors=...)`.
# What happens: the colour of a single mesh is taken as sRGB, as colours of pages are; those of a batch as linear light.
# Dark and middle values come out much brighter: of the vermillion (213, 94, 0) green grows by half, and the same box
# is orange. Colours of batches are to be changed from sRGB to linear light first.
# Version: viser 1.1.1 (its page's `BatchedMeshBase.tsx` gives the numbers to three.js' `Color.setRGB`, whose default
# is the linear working space: https://threejs.org/docs/#api/en/math/Color.setRGB). Needs Chromium (`chromium`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check viser==1.1.1 playwright==1.62.0 pillow
cd "$folder"
cat > drawn.py <<'PY'
import io
import shutil
import sys

import numpy as np
import viser
from PIL import Image
from playwright.sync_api import sync_playwright

COLOUR = (213, 94, 0)
corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
faces = np.array([[0, 1, 2], [0, 2, 3]], np.uint32)
linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(COLOUR) / 255]

server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
server.scene.configure_default_lights(enabled=False)
server.scene.add_light_ambient("/light", intensity=1.0)
server.scene.add_mesh_simple("/single", corners, faces, color=COLOUR, side="double", position=(-3, 0, 0))
for name, x, colour in (("/batch", 0, COLOUR), ("/changed", 3, [round(255 * c) for c in linear])):
    server.scene.add_batched_meshes_simple(
        name, corners, faces, batched_wxyzs=np.array([[1.0, 0, 0, 0]]), batched_positions=np.array([[x, 0.0, 0]]),
        batched_colors=np.array([colour], np.uint8), side="double", lod="off",
    )
server.initial_camera.position = (0.0, 0.0, 12.0)
server.initial_camera.look_at = (0.0, 0.0, 0.0)
server.initial_camera.up = (0.0, 1.0, 0.0)
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=shutil.which("chromium"), headless=True,
        args=["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
    )
    page = browser.new_page(viewport={"width": 1200, "height": 600})
    page.goto(f"http://127.0.0.1:{server.get_port()}")
    for _ in range(30):
        page.wait_for_timeout(2000)
        drawn = np.asarray(Image.open(io.BytesIO(page.screenshot(timeout=60_000))).convert("RGB")).astype(int)[300]
        # along the middle row: orange of any kind, from left to right
        boxes = np.flatnonzero((drawn[:, 0] - drawn[:, 2] > 100) & (np.arange(1200) < 850))
        boxes = np.split(boxes, np.flatnonzero(np.diff(boxes) > 5) + 1)
        if len(boxes) == 3 and min(map(len, boxes)) > 20:
            break
    browser.close()
single, batch, changed = (drawn[int(np.median(box))] for box in boxes)
print("viser", viser.__version__, "asked for", COLOUR)
print("add_mesh_simple               ", single)
print("add_batched_meshes_simple     ", batch)
print("the same, given as linear light", changed)
sys.exit(not (batch[1] - single[1] > 40 and np.abs(changed - single).max() < 6))
PY
venv/bin/python drawn.py
