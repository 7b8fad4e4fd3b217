"""The 3D scene of a result on a viser server, which `server` puts controls beside.

A scene has *tracks* side by side, one for each person of each file (more than three in two rows), and *steps* in time
(`tracks`). A track shows, from left to right, the 2D keypoints on a panel, with their standard deviations, and the 3D
hypotheses with the mean and the ball that each joint is in with the result's probability
(`LiftResult.region_radius`). A caption below says which probability, and whether the balls are calibrated.
Coordinates are the camera's (x right, y down, z forward); the viewer's up direction is -y, so people stand
upright.

viser is imported when a scene is made, not with this module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..files.errors import InputError
from ..results.poses import LiftResult
from .bodies import Bodies, rigs_of
from .drawing import SIDE_COLOURS
from .live_bodies import VERTICES, LiveBodies
from .photos import Photos, check_photos, keypoint_box, read_photo
from .tracks import SceneOptions, Track, steps_of, tracks_of

if TYPE_CHECKING:
    from viser import ViserServer

__all__ = ["PoseScene"]

#: Metres in the scene.
_HYPOTHESIS_RADIUS = 0.006
_MEAN_RADIUS = 0.014
_JOINT_RADIUS = 0.022
#: The mean's joints that the picture does not show: share of white, and dashes of the bone to each.
_PALE, _DASHES = 0.7, 5
_PANEL_HEIGHT = 1.9
_PANEL_GAP = 0.12
_TRACK_GAP = 0.35
#: Below the feet of a row: its caption, and air above the heads of the next row.
_ROW_GAP = 0.6
#: As many people stand in one row; more stand in two.
_ONE_ROW = 3
#: Width to height of the window for which the first view is chosen.
_WINDOW = 1.45
#: An instance that is not shown keeps its place in the batch with this scale: batches keep their length.
_HIDDEN_SCALE = 1e-6


# -- geometry ------------------------------------------------------------------------------------------


def segment_transforms(start: np.ndarray, end: np.ndarray, radius: float) -> tuple[np.ndarray, ...]:
    """Place a unit cylinder (radius 1, from z = 0 to 1) on each segment.

    Args:
        start, end: (segments, 3) metres; a segment with a NaN is hidden.
        radius: metres.

    Returns:
        positions (segments, 3), quaternions wxyz (segments, 4), scales (segments, 3).
    """
    shown = np.isfinite(start).all(-1) & np.isfinite(end).all(-1)
    start = np.where(shown[:, None], start, 0.0)
    vector = np.where(shown[:, None], end, 0.0) - start
    length = np.linalg.norm(vector, axis=-1)
    shown &= length > 1e-9
    direction = np.where(shown[:, None], vector, (0.0, 0.0, 1.0)) / np.where(shown, length, 1.0)[:, None]
    x, y, z = direction.T
    # the rotation that takes z to the direction; opposite directions need any axis across, here x
    quaternion = np.stack([1 + z, -y, x, np.zeros_like(x)], -1)
    quaternion[z < -1 + 1e-9] = (0.0, 1.0, 0.0, 0.0)
    quaternion /= np.linalg.norm(quaternion, axis=-1, keepdims=True)
    scales = np.stack([np.full_like(length, radius), np.full_like(length, radius), length], -1)
    return start, quaternion, np.where(shown[:, None], scales, _HIDDEN_SCALE)


def dashes_of(start: np.ndarray, end: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """So many dashes along each segment, as long as the gaps between them; the first and the last reach the ends.

    Args:
        start, end: (segments, 3) metres.
        count: of each.

    Returns:
        Starts and ends, (segments * count, 3) each.
    """
    ticks = np.arange(2 * count) / (2 * count - 1)
    points = start[:, None] + ticks[:, None] * (end - start)[:, None]
    return points[:, ::2].reshape(-1, 3), points[:, 1::2].reshape(-1, 3)


def ball_transforms(centre: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, ...]:
    """Place a unit sphere as the ball of each joint.

    Args:
        centre: (joints, 3) metres; a joint with a NaN is hidden.
        radius: (joints,) metres; the root's ball of radius zero is hidden.

    Returns:
        positions (joints, 3), quaternions wxyz (joints, 4), scales (joints, 3).
    """
    shown = np.isfinite(centre).all(-1) & (radius > 0)
    scales = np.where(shown, radius, _HIDDEN_SCALE)[:, None].repeat(3, 1)
    quaternions = np.tile([1.0, 0.0, 0.0, 0.0], (len(centre), 1))
    return np.where(shown[:, None], centre, 0.0), quaternions, scales


def ellipsoid_transforms(centre: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, ...]:
    """Place a unit sphere as the ellipsoid of one standard deviation of each joint.

    Args:
        centre: (joints, 3) metres; a joint with a NaN is hidden.
        covariance: (joints, 3, 3) m².

    Returns:
        positions (joints, 3), quaternions wxyz (joints, 4), scales (joints, 3).
    """
    from viser import transforms

    shown = np.isfinite(centre).all(-1) & np.isfinite(covariance).all((-1, -2))
    covariance = np.where(shown[:, None, None], covariance, np.eye(3)).astype(np.float64)
    variances, axes = np.linalg.eigh(covariance)
    # eigenvectors may form a reflection, which no quaternion can express
    axes[..., 0] *= np.sign(np.linalg.det(axes))[:, None]
    scales = np.maximum(np.sqrt(np.clip(variances, 0.0, None)), 1e-4)
    quaternion = np.asarray(transforms.SO3.from_matrix(axes).wxyz)
    return (
        np.where(shown[:, None], centre, 0.0),
        quaternion,
        np.where(shown[:, None], scales, _HIDDEN_SCALE),
    )


# -- drawing -------------------------------------------------------------------------------------------


def linear_rgb(colours: np.ndarray) -> np.ndarray:
    """Colours of the web (sRGB) as the light that they stand for: both (…, 3) of 0 to 255 (IEC 61966-2-1).

    viser takes the colours of batches as light, and those of single meshes as colours of the web.
    """
    web = np.asarray(colours, np.float64) / 255
    light = np.where(web <= 0.04045, web / 12.92, ((web + 0.055) / 1.055) ** 2.4)
    return np.round(light * 255).astype(np.uint8)


class _Batch:
    """Many copies of one mesh whose places change from step to step."""

    def __init__(
        self, server: ViserServer, name: str, mesh: tuple[np.ndarray, np.ndarray], colours: np.ndarray,
        opacity: float | None, shadow: bool = False, hollow: bool = False,
    ) -> None:  # fmt: skip
        # of hollow ones only the far side is drawn: the near one would hide what is inside, in whichever order the
        # browser draws transparent things
        self.count = len(colours)
        if not self.count:
            return
        self.handle = server.scene.add_batched_meshes_simple(
            name, *mesh,
            batched_wxyzs=np.tile([1.0, 0.0, 0.0, 0.0], (self.count, 1)),
            batched_positions=np.zeros((self.count, 3)),
            batched_scales=np.full((self.count, 3), _HIDDEN_SCALE),
            batched_colors=linear_rgb(colours),
            opacity=opacity, lod="off", cast_shadow=shadow, receive_shadow=False, side="back" if hollow else "front",
        )  # fmt: skip

    def place(self, transforms: tuple[np.ndarray, ...], *, visible: bool = True) -> None:
        if not self.count:
            return
        positions, quaternions, scales = transforms
        self.handle.visible = visible
        self.handle.batched_positions = positions.astype(np.float32)
        self.handle.batched_wxyzs = quaternions.astype(np.float32)
        self.handle.batched_scales = scales.astype(np.float32)


class _TrackView:
    """Draws one track at a place of the scene."""

    def __init__(
        self, server: ViserServer, result: LiftResult, track: Track, name: str, x: float, y: float, left: float,
        width: float, floor: float, options: SceneOptions, photo: np.ndarray | None, body: LiveBodies | None,
    ) -> None:  # fmt: skip
        self.result, self.track, self.x, self.y, self.options = result, track, x, y, options
        skeleton = result.tree
        self.bones = np.asarray(skeleton.bones, int).reshape(-1, 2)
        joint_colours = np.asarray([SIDE_COLOURS[side] for side in skeleton.sides])
        bone_colours = joint_colours[self.bones[:, 0]]
        tube, sphere = _meshes()
        self.drawn = min(options.hypotheses, result.samples.shape[1])
        repeated = np.tile(bone_colours, (self.drawn, 1))
        self.hypotheses = _Batch(server, f"{name}/hypotheses", tube, repeated, options.opacity, False)
        self.mean_bones = _Batch(server, f"{name}/mean/bones", tube, bone_colours, None, True)
        self.mean_joints = _Batch(server, f"{name}/mean/joints", sphere, joint_colours, None, True)
        dashes = np.repeat(bone_colours, _DASHES, 0)
        self.unseen_bones = _Batch(server, f"{name}/mean/unseen bones", tube, dashes, None, True)
        pale = joint_colours + (255 - joint_colours) * _PALE
        self.unseen_joints = _Batch(server, f"{name}/mean/unseen joints", sphere, pale, None, True)
        self.regions = _Batch(server, f"{name}/regions", sphere, joint_colours, 0.13, hollow=True)
        self.ellipsoids = _Batch(server, f"{name}/ellipsoids", sphere, joint_colours, 0.22, hollow=True)
        self.panel = _Panel(server, result, track, f"{name}/keypoints", left, floor, photo)
        self.body = body
        self.caption = server.scene.add_label(
            f"{name}/caption", track.label, position=(left + width / 2, floor + 0.12, 0.0), anchor="top-center",
            font_size_mode="scene", font_scene_height=0.09,
        )  # fmt: skip

    def show(self, frame: int, options: SceneOptions) -> None:
        """Draw the pose of that frame, or nothing where the track has none."""
        index = self.track.at(frame)
        joints = len(self.result.joint_names)
        here = np.asarray([self.x, self.y, 0.0], np.float32)
        nothing = np.full((joints, 3), np.nan, np.float32)
        mean = nothing if index is None else self.result.mean[index] + here
        covariance = np.full((joints, 3, 3), np.nan) if index is None else self.result.covariance[index]
        samples = np.full((self.drawn, joints, 3), np.nan, np.float32)
        surfaces = self.body is not None and options.bodies
        if self.body is not None:
            self.body.show(index if surfaces else None, mean=options.mean, hypotheses=options.hypotheses)
        if index is not None and not surfaces:
            shown = min(options.hypotheses, self.drawn)
            samples[:shown] = self.result.samples[index, :shown] + here
        child, parent = self.bones.T
        self.hypotheses.place(
            segment_transforms(samples[:, parent].reshape(-1, 3), samples[:, child].reshape(-1, 3), _HYPOTHESIS_RADIUS)
        )
        seen = np.ones(joints, bool) if index is None else self.result.visible[index]
        whole = seen[child]  # the bone to a joint goes with it, as in pictures
        starts, dashed = (np.where(these[:, None], mean[parent], np.nan) for these in (whole, ~whole))
        self.mean_bones.place(segment_transforms(starts, mean[child], _MEAN_RADIUS), visible=options.mean)
        self.unseen_bones.place(
            segment_transforms(*dashes_of(dashed, mean[child], _DASHES), _MEAN_RADIUS), visible=options.mean
        )
        for batch, these in ((self.mean_joints, seen), (self.unseen_joints, ~seen)):
            places = np.where(these[:, None], mean, np.nan)
            batch.place(ball_transforms(places, np.full(joints, _JOINT_RADIUS)), visible=options.mean)
        centre, radius = nothing, np.zeros(joints)
        if index is not None:
            centre, radius = self.result.region_center[index] + here, self.result.region_radius[index]
        self.regions.place(ball_transforms(centre, radius), visible=options.regions)
        self.ellipsoids.place(ellipsoid_transforms(mean, covariance), visible=options.ellipsoids)
        self.panel.show(index, visible=options.keypoints)
        self.caption.text = self._caption(frame, index, options)

    def _caption(self, frame: int, index: int | None, options: SceneOptions) -> str:
        text = self.track.label
        if not self.track.still:
            text += f" · frame {frame}"
        if index is None:
            return text + " · not there"
        hidden = [n for n, v in zip(self.result.joint_names, self.result.visible[index], strict=True) if not v]
        if hidden:
            names = ", ".join(name.replace("_", " ") for name in hidden[:3])
            text += f"\nhidden: {names}" + (f" and {len(hidden) - 3} more" if len(hidden) > 3 else "")
        return text + f"\n{self.result.region_label('balls')}" * options.regions


class _Panel:
    """The 2D keypoints on an upright sheet to the left of the person, over the photo where there is one."""

    def __init__(
        self, server: ViserServer, result: LiftResult, track: Track, name: str, left: float, floor: float,
        photo: np.ndarray | None,
    ) -> None:  # fmt: skip
        self.result = result
        indices = np.asarray(list(track.poses.values()))
        low, high = keypoint_box(result.keypoints[indices], None if photo is None else photo.shape[:2])
        size = high - low
        self.scale = _PANEL_HEIGHT / size[1]
        self.low = low
        width = float(size[0] * self.scale)
        self.corner = np.asarray([left, floor - _PANEL_HEIGHT, 0.0])
        centre = self.corner + np.asarray([width / 2, _PANEL_HEIGHT / 2, 0.01])
        image = _sheet(photo, low, high)
        # viser draws images with x right and y down when not rotated: just our axes
        self.sheet = server.scene.add_image(
            f"{name}/sheet", image, width, _PANEL_HEIGHT, position=tuple(centre),
            format="jpeg" if photo is not None else "png", cast_shadow=False, receive_shadow=False,
        )  # fmt: skip
        skeleton = result.tree
        self.bones = np.asarray(skeleton.bones, int).reshape(-1, 2)
        colours = np.asarray([SIDE_COLOURS[side] for side in skeleton.sides])
        tube, sphere = _meshes()
        self.lines = _Batch(server, f"{name}/lines", tube, colours[self.bones[:, 0]], None, False)
        self.dots = _Batch(server, f"{name}/dots", sphere, colours, None, False)
        self.ellipses = _Batch(server, f"{name}/ellipses", sphere, colours, 0.3, False)

    def show(self, index: int | None, *, visible: bool) -> None:
        joints = len(self.result.joint_names)
        points = np.full((joints, 3), np.nan)
        covariance = np.zeros((joints, 3, 3))
        if index is not None:
            points[:, :2] = (self.result.keypoints[index] - self.low) * self.scale
            points[:, 2] = 0.0
            points += self.corner
            points[~self.result.visible[index]] = np.nan
            covariance[:, :2, :2] = self.result.keypoint_covariance[index] * self.scale**2
            covariance[:, 2, 2] = 1e-7
        child, parent = self.bones.T
        self.sheet.visible = visible
        self.lines.place(segment_transforms(points[parent], points[child], 0.008), visible=visible)
        dot = np.tile(np.diag([0.016**2, 0.016**2, 0.009**2]), (joints, 1, 1))
        self.dots.place(ellipsoid_transforms(points, dot), visible=visible)
        self.ellipses.place(ellipsoid_transforms(points, covariance), visible=visible)


def _sheet(photo: np.ndarray | None, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The part of the photo inside the box, at most 1,024 px high; plain paper without a photo."""
    if photo is None:
        return np.full((64, 64, 3), 246, np.uint8)
    from PIL import Image

    left, top = (int(c) for c in np.floor(low))
    right, bottom = (int(c) for c in np.ceil(high))
    image = Image.fromarray(photo).crop((left, top, right, bottom))
    image.thumbnail((1024, 1024))
    return np.asarray(image)


def _meshes() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Unit tube (radius 1, z from 0 to 1) and unit sphere: vertices and faces."""
    import trimesh

    tube = trimesh.creation.cylinder(radius=1.0, height=1.0, sections=10)
    sphere = trimesh.creation.icosphere(subdivisions=2)
    lifted = np.asarray(tube.vertices) + np.asarray([0.0, 0.0, 0.5])
    return (lifted, np.asarray(tube.faces)), (np.asarray(sphere.vertices), np.asarray(sphere.faces))


@dataclass(frozen=True)
class _Room:
    """What a track takes, metres: the panel's width, and the person's reach to the left and right of its origin."""

    panel: float
    left: float
    right: float

    @property
    def width(self) -> float:
        return self.panel + _PANEL_GAP + self.left + self.right


def room_of(result: LiftResult, track: Track, photo: np.ndarray | None) -> _Room:
    """The room of a track, through all its poses; very large balls may stand out of it."""
    indices = list(track.poses.values())
    low, high = keypoint_box(result.keypoints[indices], None if photo is None else photo.shape[:2])
    x, radius = result.region_center[indices][..., 0], result.region_radius[indices]
    left, right = (float(np.clip(side.max(), 0.35, 1.1)) for side in (radius - x, radius + x))
    return _Room(float((high - low)[0] / (high - low)[1] * _PANEL_HEIGHT), left, right)


def rows_of(count: int) -> list[range]:
    """The tracks of each row: one row up to three tracks, else two of nearly the same length.

    >>> rows_of(3), rows_of(5)
    ([range(0, 3)], [range(0, 3), range(3, 5)])
    """
    if count <= _ONE_ROW:
        return [range(count)]
    half = -(-count // 2)
    return [range(half), range(half, count)]


class PoseScene:
    """A result drawn on a viser server: `show` moves it to a step.

    Args:
        server: where to draw.
        result: what to draw.
        options: see `SceneOptions`.
        photos: see `read_photo`.
        bodies: surfaces of the same poses (`poseterior.view.bodies.bodies_of`).
        room_right: metres to leave free on the right of the first view, for a control panel.

    Attributes:
        tracks: the people that are shown, row by row.
        frames: the frame number of each step.

    Raises:
        InputError: the result has no poses, or a photo cannot be read.
    """

    def __init__(
        self,
        server: ViserServer,
        result: LiftResult,
        options: SceneOptions | None = None,
        photos: Photos = None,
        bodies: Bodies | None = None,
        room_right: float = 0.0,
    ) -> None:
        if not len(result):
            raise InputError("the result has no poses; nothing to show")
        self.options = options or SceneOptions()
        everyone = tracks_of(result)
        self.tracks = everyone[: self.options.max_tracks]
        self.frames = steps_of(self.tracks, self.options.max_steps)
        self.result = result
        shown = result.mean[[i for track in self.tracks for i in track.poses.values()]][..., 1]
        floor = float(shown.max()) + 0.03
        check_photos(photos, result.file.tolist())
        read = {file: read_photo(photos, file) for file in {track.file for track in self.tracks}}
        rooms = [room_of(result, track, read[track.file]) for track in self.tracks]
        rows = rows_of(len(self.tracks))
        pitch = max(_PANEL_HEIGHT, floor - float(shown.min())) + _ROW_GAP
        lengths = [sum(rooms[i].width for i in row) + _TRACK_GAP * (len(row) - 1) for row in rows]
        total = max(lengths)
        server.scene.set_up_direction("-y")
        server.scene.world_axes.visible = False
        self.views = []
        people = [next(iter(track.poses.values())) for track in self.tracks]
        rigs = [] if bodies is None else rigs_of(bodies, bodies.person[people].tolist(), VERTICES)
        for number, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            y, left = number * pitch, (total - length) / 2
            for i in row:
                room, track, photo = rooms[i], self.tracks[i], read[self.tracks[i].file]
                x = left + room.panel + _PANEL_GAP + room.left
                at, name = np.asarray([x, y, 0.0]), f"/track_{i}"
                body = None if bodies is None else LiveBodies(server, f"{name}/bodies", bodies, rigs[i], at)
                view = _TrackView(
                    server, result, track, name, x, y, left, room.width, floor + y, self.options, photo, body
                )
                self.views.append(view)
                left += room.width + _TRACK_GAP
            # of two floors one above the other, the upper one must not hide the people below
            server.scene.add_grid(
                f"/floor_{number}", width=math.ceil(total) + 1.0, height=4.0 if len(rows) == 1 else 2.0, plane="xz",
                cell_size=0.25, section_size=1.0, position=(total / 2, floor + y, 0.0),
                cell_color=(214, 217, 222), section_color=(176, 181, 189),
            )  # fmt: skip
        lowest = floor + pitch * (len(rows) - 1)
        if len(everyone) > len(self.tracks):
            server.scene.add_label(
                "/left_out", f"{len(self.tracks)} of {len(everyone)} people shown",
                position=(total / 2, lowest + 0.35, 0.0), anchor="top-center",
            )  # fmt: skip
        self._aim(server, total + room_right, floor - pitch + _ROW_GAP, lowest + _ROW_GAP / 2)
        self.show(0)

    def _aim(self, server: ViserServer, width: float, top: float, bottom: float) -> None:
        """Start where everybody just fits into the picture: in front, a little to the side and above."""
        fov = math.radians(40)
        yaw, pitch = math.radians(18 if len(self.views) == 1 else 8), math.radians(9)
        half = math.tan(fov / 2)
        # seen from the side, one end of the row is nearer than the middle
        across = width / 2 * (math.cos(yaw) / (half * _WINDOW) + math.sin(yaw))
        distance = max(across, (bottom - top) / 2 / half) + 0.6
        target = np.asarray([width / 2, (top + bottom) / 2, 0.0])
        back = np.asarray([math.sin(yaw) * math.cos(pitch), -math.sin(pitch), -math.cos(yaw) * math.cos(pitch)])
        server.initial_camera.fov = fov
        server.initial_camera.up = (0.0, -1.0, 0.0)
        server.initial_camera.look_at = tuple(target)
        server.initial_camera.position = tuple(target + distance * back)

    def show(self, step: int, options: SceneOptions | None = None) -> None:
        """Draw the poses of a step.

        Args:
            step: position in ``frames``.
            options: what to show from now on; more hypotheses than at the start are not drawn.
        """
        self.options = options or self.options
        for view in self.views:
            view.show(self.frames[step], self.options)
