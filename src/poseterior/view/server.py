"""The live viewer: the scene of `live_scene` with controls, on a local web server."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.errors import InputError
from ..files.extras import need
from ..results.poses import LiftResult
from ..web import Doorkeeper, address, needs_token
from .bodies import Bodies
from .live_scene import PoseScene
from .photos import Photos
from .serving import start_server, stop_server
from .tracks import SceneOptions, pauses, playback_rate

if TYPE_CHECKING:
    from viser import ViserServer

__all__ = ["Viewer", "serve"]

#: The slider's end: more hypotheses than this only hide each other.
_MOST_HYPOTHESES = 100


def radius_table(result: LiftResult, index: int) -> str:
    """Markdown table of `LiftResult.region_radius` for each joint but the origin, in mm."""
    radii = 1000 * result.region_radius[index]
    lines = [f"| joint | {result.region_label('radius, mm')} | |", "| :-- | --: | :-- |"]
    for name, radius, visible in zip(result.joint_names, radii, result.visible[index], strict=True):
        if name == result.origin:
            continue
        lines.append(f"| {name.replace('_', ' ')} | {radius:.0f} | {'' if visible else 'hidden'} |")
    return "\n".join(lines)


class Viewer:
    """A running viewer.

    Attributes:
        url: where to open it, with the token if there is one.

    Call `wait` to keep it open until it is interrupted, `stop` to end it.
    """

    def __init__(
        self,
        server: ViserServer,
        result: LiftResult,
        options: SceneOptions,
        photos: Photos,
        fps: float,
        token: str | None = None,
        bodies: Bodies | None = None,
    ) -> None:
        self.server, self.result, self._token = server, result, token
        most = max(1, min(_MOST_HYPOTHESES, result.samples.shape[1]))
        start = min(options.hypotheses, most)
        # the scene reserves room for the slider's end, then shows as many as asked
        self.scene = PoseScene(server, result, replace(options, hypotheses=most), photos, bodies, room_right=1.6)
        self._options = replace(options, hypotheses=start)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        gui = server.gui
        steps = len(self.scene.frames)
        with gui.add_folder("Time"):
            self.step = gui.add_slider("step", 0, max(steps - 1, 1), 1, 0, disabled=steps < 2)
            self.play = gui.add_checkbox("play", False, disabled=steps < 2)
            self.fps = gui.add_slider("frames per second", 1, max(round(fps), 60), 1, max(round(fps), 1))
        with gui.add_folder("Show"):
            self.hypotheses = gui.add_slider("hypotheses", 0, most, 1, start)
            self.mean = gui.add_checkbox("mean", options.mean)
            self.bodies = gui.add_checkbox("bodies", options.bodies, visible=bodies is not None)
            self.regions = gui.add_checkbox(result.region_label("balls"), options.regions)
            self.ellipsoids = gui.add_checkbox("ellipsoids of 1 sigma (covariance)", options.ellipsoids)
            self.keypoints = gui.add_checkbox("2D keypoints" + (" and photo" * (photos is not None)), options.keypoints)
        with gui.add_folder("Pose"):
            labels = [f"{i + 1}: {track.label}" for i, track in enumerate(self.scene.tracks)]
            self.person = gui.add_dropdown("person", labels, disabled=len(labels) < 2)
            self.text = gui.add_markdown("")
        with gui.add_folder("About", expand_by_default=False):
            gui.add_markdown(self._about())
        shown = (self.hypotheses, self.mean, self.bodies, self.regions, self.ellipsoids, self.keypoints)
        for control in (self.step, *shown, self.person):
            control.on_update(lambda _: self.refresh())
        self.refresh()
        threading.Thread(target=self._play, daemon=True).start()

    @property
    def url(self) -> str:
        return address(self.server.get_host(), self.server.get_port(), self._token).removesuffix("/")

    def refresh(self) -> None:
        """Draw what the controls say."""
        with self._lock, self.server.atomic():
            step = min(int(self.step.value), len(self.scene.frames) - 1)
            self._options = replace(
                self._options,
                hypotheses=int(self.hypotheses.value),
                mean=bool(self.mean.value),
                bodies=bool(self.bodies.value),
                regions=bool(self.regions.value),
                ellipsoids=bool(self.ellipsoids.value),
                keypoints=bool(self.keypoints.value),
            )
            self.scene.show(step, self._options)
            self.text.content = self._describe(step)

    def _describe(self, step: int) -> str:
        track = self.scene.tracks[int(str(self.person.value).split(":")[0]) - 1]
        frame = self.scene.frames[step]
        index = track.at(frame)
        if index is not None:
            frame = int(self.result.frame[index])
        head = f"**{_plain(Path(track.file).name or 'poses')}**, frame {frame}"
        if index is None:
            return head + "\n\nnot in this frame"
        head += f", person {int(self.result.person[index])}"
        return f"{head}\n\n{radius_table(self.result, index)}"

    def _about(self) -> str:
        result = self.result
        lines = [
            f"lifter: {result.lifter}",
            f"seed: {result.seed}",
            f"units: {result.units}",
            f"axes: {result.axes}",
        ]
        lines += [f"{key}: {value}" for key, value in result.notes.items()]
        return "\n".join(f"* {_plain(line)}" for line in lines)

    def _pause(self) -> float:
        """Seconds for which the step is shown."""
        rate = float(self.fps.value)
        shown = pauses(self.scene.frames, rate)
        return shown[int(self.step.value)] if shown else 1.0 / rate

    def _play(self) -> None:
        while not self._stopped.wait(self._pause()):
            if self.play.value:
                self.step.value = (int(self.step.value) + 1) % len(self.scene.frames)  # type: ignore[misc]

    def wait(self) -> None:
        """Block until `stop` or Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            while not self._stopped.wait(1.0):
                pass
        self.stop()

    def stop(self) -> None:
        """End the server; a second call does nothing."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        stop_server(self.server)

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _plain(text: str) -> str:
    """Text from a file without characters that Markdown or HTML would interpret."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+!|<>&~" else c for c in text)


def serve(
    result: LiftResult,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    photos: Photos = None,
    fps: float | None = None,
    options: SceneOptions | None = None,
    token: str | None = None,
    bodies: Bodies | None = None,
) -> Viewer:
    """Start the live viewer and return at once; ``serve(...).wait()`` keeps it open.

    Other web pages are refused, and names by which this machine is not known; nothing can be shared from it.

    Args:
        result: what to show.
        host: address to listen on; the default can be reached from this machine only.
        port: wished port; the next free one is taken (0: any), see the viewer's ``url``.
        photos: the picture(s) that the keypoints come from, see `poseterior.view.photos.read_photo`.
        fps: frames per second of the playback, by default those that the input told, else 10; frame numbers that are
            missing are waited for, up to a second.
        options: what is shown at first.
        token: who looks must know it, ``?token=`` once; needed for an address that other machines reach.
        bodies: surfaces of the same poses (`poseterior.view.bodies.bodies_of`).

    Raises:
        InputError: no poses, an unreadable photo, an address that cannot be used or that others reach without a
            token, a token of fewer than 16 characters, no rate, or viser is not installed.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"port: expected 0 to 65535, got {port}")
    needs_token(host, token)
    need("view", "viser", "the viewer")
    rate = playback_rate(result, fps)
    server = start_server(host, port, "poseterior", Doorkeeper(token).check)
    try:
        return Viewer(server, result, options or SceneOptions(), photos, rate, token, bodies)
    except BaseException:
        stop_server(server)
        raise
