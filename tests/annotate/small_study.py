"""Photographs made from nothing, their keypoints, and a server in a process of its own."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from poseterior.annotate.database import Database
from poseterior.annotate.figures import TUTORIAL
from poseterior.annotate.photos import find_photos, match_people
from poseterior.annotate.study import Study, open_study
from poseterior.geometry.skeletons import get_skeleton
from poseterior.keypoints.reading import read_keypoints

JOINTS = get_skeleton("lsp14").joints
SIZE = (90, 120)


def make_photos(folder: Path, count: int = 4, people: int = 1) -> Path:
    """``im0000.png`` ... and, beside the folder, a keypoint file with ``people`` in each."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(5)
    entries = []
    for i in range(count):
        name = f"im{i:04d}.png"
        Image.fromarray(rng.integers(0, 255, (12, 9, 3), dtype=np.uint8)).resize(SIZE).save(folder / name)
        for person in range(people):
            points = (rng.uniform(0.1, 0.9, (len(JOINTS), 2)) * SIZE).round(1).tolist()
            entry = {"image": name, "frame": 0, "person": person, "image_size": SIZE, "joints": JOINTS}
            entries.append(entry | {"keypoints": points})
    path = folder.parent / "keypoints.json"
    path.write_text(json.dumps(entries))
    return path


def small_study(tmp_path: Path, count: int = 4, people: int = 1, **options: Any) -> Study:
    """A study of these photographs, in ``labels.sqlite``."""
    keypoints = read_keypoints(make_photos(tmp_path / "photos", count, people))
    photos = find_photos([tmp_path / "photos"])
    database = Database(tmp_path / "labels.sqlite")
    return open_study(database, match_people(photos, keypoints), photos, keypoints.skeleton.name, **options)


class Client:
    """An annotator who speaks plain HTTP over one connection; ``cookies`` remembers those who have begun."""

    def __init__(self, port: int, name: str, cookies: dict[str, str] | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.cookie = (cookies or {}).get(name, "")
        self.state = self.post("/api/session", {"name": name})
        if cookies is not None:
            cookies[name] = self.cookie
        while "tutorial" in (self.state["question"] or {}):
            number = self.state["question"]["tutorial"]
            reply = self.post("/api/tutorial", {"question": number, "nearer": TUTORIAL[number].nearer})
            self.state = reply["state"]

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Cookie": self.cookie}
        self.connection.request("POST", path, json.dumps(body), headers)
        response = self.connection.getresponse()
        content = json.loads(response.read())
        assert response.status == 200, (path, body, response.status, content)
        self.cookie = (response.getheader("set-cookie") or self.cookie).split(";")[0]
        return content

    def answer(self) -> str:
        """Answer the question at hand with its first joint; the id of the answer, once it is acknowledged."""
        question = self.state["question"]
        first = question["joints"][0]["name"]
        identity = uuid.uuid4().hex
        body = {"id": identity, "task": question["task"], "first": first, "nearer": first, "seconds": 1.0}
        self.state = self.post("/api/answer", body)
        return identity


@contextmanager
def server(tmp_path: Path, command: str = "annotate", **options: Any) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command in a process of its own, and its port."""
    if command == "annotate":
        given = {"images": (tmp_path / "photos",), "keypoints": (tmp_path / "keypoints.json",)}
        given["db"] = str(tmp_path / "labels.sqlite")  # type: ignore[assignment]
        name = "Annotate"
    else:
        given, name = {}, "Keypoints"
    arguments = ", ".join(f"{key}={value!r}" for key, value in (given | options | {"port": 0}).items())
    code = f"from pathlib import *; from poseterior.cli.{command} import {name}; {name}({arguments}).run()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "http://" in line:
                process.lines = [line]  # type: ignore[attr-defined]
                if command == "annotate":
                    process.lines.append(process.stdout.readline())  # type: ignore[attr-defined]
                yield process, int(line.split("127.0.0.1:")[1].split("/")[0])
                break
        else:
            raise AssertionError("the server has not started")
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
