"""`poseterior lift`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ._common import OnOff, options_named
from ._motion import How, check_motion, check_rig, frame_rate, write_motion, write_picture, write_sheet
from ._places import check_addresses, check_single
from ._reading import ReadingOptions
from ._seeing import SeeingOptions, bar
from ._streaming import StreamOptions, part_files, read_in_parts, why_not_in_parts
from ._unused import check_json_samples, check_shown

if TYPE_CHECKING:
    from rich.console import Console

    from ..detect.sources import Sources
    from ..keypoints import Keypoints2D
    from ..keypoints.told import Told
    from ..lifters import Lifter
    from ..results.poses import LiftResult
    from ..results.rotations import RotationResult

#: Files that a result is written as for other programs (`poseterior.results.exports`), by their last extension.
_EXPORTS = (".csv", ".trc", ".c3d", ".mot")

#: Heights that `poseterior.keypoints` takes, metres.
_SHORTEST, _TALLEST = 0.3, 3.0

#: People of photographs, or single poses, who are drawn before them; more are a contact sheet.
_DRAWN = 12


@dataclass
class Lift(StreamOptions, SeeingOptions, ReadingOptions):
    """Lift photographs, films, keypoint files or what a webcam sees to 3D poses with error bars.

    People in photographs and films are found by a detector, whose model is fetched once: poseterior detectors fetch
    blazepose. Person 0 is the largest of a photograph, and whom a film shows most; --person 0 lifts them alone.
    `poseterior lift webcam:0` writes a line for each picture until Ctrl-C.

    Formats of keypoint files are told from the content: COCO, OpenPose and Sports2D, AlphaPose, MMPose, MediaPipe,
    Ultralytics, DeepLabCut, SLEAP, tables, plain JSON, npy, npz and others; `poseterior formats` lists them with
    examples.

    A whole folder of photographs: poseterior lift photos --out lifted. The keypoints of photo.jpg are in a file of its
    name beside it (photo.json, photo.txt, photo.csv ...), or in any file of the folder that names it, or found by the
    detector; lifted/photo.parquet is its result, lifted/photo.png a picture of it.
    """

    files: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE [FILE ...]")]]
    """Photographs, films, keypoint files, folders of these, patterns ('clips/*.parquet'); or webcam:0."""
    lifter: str = "mdn"
    """A shipped lifter (see `poseterior lifters`), a folder with trained weights, or the folder of a run."""
    hypotheses: Literal["samples", "kernels"] = "samples"
    """Draws; or, of mixtures (mdn, relative), the means of their kernels, which the result holds as its samples, as the
    network gives them; regions of so few poses are not calibrated."""
    checkpoint: str | None = None
    """Of the folder of a run: a step that it keeps, best (by validation) or last."""
    samples: int = 200
    """Hypotheses per pose; 0 keeps the summary alone: mean, covariance, regions."""
    tracks: Literal["auto", "off"] = "auto"
    """Who is who in a clip without track ids: auto links people from frame to frame; off takes their order in the
    file."""
    person: int | None = None
    """Lift this person of the clip alone: the track's number."""
    focal: float | None = None
    """Focal length in pixels; the principal point is the image centre (needs the image size)."""
    clip: Literal["auto", "on", "off"] = "auto"
    """Lift clips as a whole: one body, smooth motion, hypotheses that are motions. auto: clips of 5 frames or more that
    move as one person does, by a lifter whose errors over time were measured; on: any clip, or say why it is none;
    off: every frame by itself. Single poses beside clips are lifted by themselves."""
    keypoints: Path | None = None
    """Write the keypoints, with their covariances, as a .json that can be lifted in place of the pictures; or a .jsonl,
    of which a very long film is lifted part by part (--resume, --shard, --workers)."""
    contacts: bool = False
    """Of clips: feet that stand still do not slide (needs the camera: --focal or --camera)."""
    ground: bool = False
    """Of clips: find the floor under the feet (needs the camera); motion files have y up from it."""
    level: float = 0.9
    """Probability with which each joint is within the radius that is printed, drawn and written."""
    seed: int = 0
    """Seed of the samples."""
    evidence: OnOff = "on"
    """Give answers what the keypoints say exactly; off: as the network gives them, whose regions are not calibrated."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Result file: .parquet, .npz or .json; table: .csv; for other programs: .trc, .c3d, .mot (OpenSim) or .coco.json;
    or motion file: .bvh, .glb, .usda or .usdz. Of one folder of photographs and clips: a folder, for a result and a
    picture each."""
    motion: Path | None = None
    """Motion file beside the result: .bvh, .glb, .usda, .usdz, .mot (with ankles), or .npz (as AMASS, with means and
    samples)."""
    rig: str | None = None
    """Whose names the joints of a .bvh get: mixamo, unreal, xsens ... (a name that is none lists them), or a .yaml file
    of joint names."""
    how: How | None = None
    """What the motion shows: mean, best, mode, path (the smoothest way through the samples; for clips the default),
    samples or clusters."""
    count: int = 1
    """Hypotheses in the motion files, one file each."""
    fps: float | None = None
    """Frames per second of the clip, the motion and the film (default: what the file tells, else 30, said aloud)."""
    max_gap: float = 0.5
    """Seconds without the person that motions and films bridge by interpolation; longer ones split a motion."""
    json_samples: bool = False
    """Write samples and log-densities into .json too."""
    view: Path | None = None
    """Write an offline 3D page: .html."""
    picture: Path | None = None
    """Write a contact sheet: .png."""
    video: Path | None = None
    """Write a film of a clip: .mp4 (by the ffmpeg on the path, else pip install 'poseterior[video]') or .gif. With a
    folder as --out just mp4 or gif, for a film of every clip in it."""
    photo: Path | None = None
    """Of keypoint files: photograph, or folder of photographs, shown in the page, or film behind the one that is
    written; one photograph also gives an unknown image size."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def reading(self) -> dict[str, Any]:
        return {**super().reading(), "tracks": self.tracks, "person": self.person}

    def run(self) -> None:
        from rich.console import Console

        from ..detect.sources import sorted_out
        from ..files.errors import InputError
        from ..files.places import expanded
        from ..files.writing import check_outputs
        from ._common import check_device, check_extension, check_level, lifter_folder, summary_table, weights_of
        from ._streaming import lift_long_clips, lift_stream, lifts_clips

        self.check_seeing()
        self.check_reading()
        if self.engine == "ray":
            from ._cluster import lift_on_cluster

            self.lifter = weights_of(self.lifter, self.checkpoint)
            lift_on_cluster(self)
            return
        check_addresses(self.files, self.out)
        self.files = tuple(expanded(self.files))
        check_single(self.files)
        self.lifter = weights_of(self.lifter, self.checkpoint)
        self._check_hypotheses()
        if len(self.files) == 1 and self.files[0].is_dir() and self.out and (self.out.is_dir() or not self.out.suffix):
            from ._folders import lift_folder

            lift_folder(self, self.files[0], self.out)
            return
        sources = sorted_out(self.files)
        if sources.camera is not None:
            self.check_used(sources)
            self._run_live(sources.camera)
            return
        from ..keypoints.writing import WRITTEN
        from ..results.poses import RESULT_SUFFIXES
        from ..results.rotations import MOTION_SUFFIXES
        from ..results.usd import USD_SUFFIXES

        self.check_folder_alone()
        self.check_used(sources)
        check_extension(self.out, "--out", (*RESULT_SUFFIXES, *_EXPORTS, ".bvh", ".glb", *USD_SUFFIXES))
        check_extension(self.motion, "--motion", MOTION_SUFFIXES)
        check_extension(self.view, "--view", (".html",))
        check_extension(self.picture, "--picture", (".png",))
        check_extension(self.keypoints, "--keypoints", WRITTEN)
        inputs = [
            *self.files,
            *sources.seen,
            *self.model,
            self.noise_model,
            self.camera,
            self.photo,
            lifter_folder(self.lifter),
        ]
        outputs = {
            "--out": self.out, "--motion": self.motion, "--view": self.view, "--picture": self.picture,
            "--video": self.video, "--keypoints": self.keypoints,
        }  # fmt: skip
        check_outputs({**outputs, "--out (until it is complete)": part_files(self.out)}, inputs)
        self.check_stream(self.out)
        check_json_samples(self.json_samples, self.out, self.samples)
        self.check_drawn(bool(self._motions()))
        check_motion(self.fps, self.how, self.count, self.samples, self.max_gap)
        check_level(self.level)
        check_rig(self.rig, self._motions())
        self.check_camera()
        from ..evaluation.kernels import with_hypotheses
        from ..keypoints.tracks import clip_summary
        from ..lifters import ArticulatedLifter, load
        from ..results.provenance import HYPOTHESES, KERNELS
        from ..results.times import ASSUMED_FPS

        if self.video is not None:
            from ..view.film import check_video

            check_video(self.video, self.fps or ASSUMED_FPS)
            if not (sources.films or sources.keypoints):
                raise InputError("--video: a film needs a clip, and photographs are none; use --picture")
        lifter, self.samples = with_hypotheses(
            load(self.lifter, evidence=self.evidence == "on"), self.hypotheses, self.samples
        )
        self.check_turns(lifter)
        turned_sheet = self.picture is not None and isinstance(lifter, ArticulatedLifter)
        check_shown(self.how, self.count, bool(self._motions()), turned_sheet)
        console = Console()
        why_whole = why_not_in_parts(self, lifter, sources)
        if why_whole and (asked := self.asks_for_parts()):
            raise InputError(f"{asked}: {why_whole}")
        in_parts = not why_whole and not lifts_clips(self, lifter)
        if in_parts and lift_stream(self, lifter, sources.keypoints[0], check_device(self.device), console):
            return
        keypoints = self.as_told(self._found(sources, console))
        self._check_moves([keypoints])
        for line in clip_summary(keypoints):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        if lift_long_clips(self, lifter, keypoints, check_device(self.device), console):
            return
        result, rotations, turns, listed = self._lifted(lifter, keypoints, check_device(self.device), console)
        if self.hypotheses == "kernels":
            result = replace(result, settings=result.settings | {HYPOTHESES: KERNELS})
        console.print(summary_table(listed, total=len(result)))
        moves = self.video is not None or bool(self._motions()) or self._holds_times()
        fps = frame_rate(self.fps, result, console) if moves else self.fps
        if self.out is not None and self.out not in self._motions():
            check_outputs({"--out": result.files(self.out)}, inputs)
            for path in result.save(
                self.out, samples=True if self.json_samples else None, half=self.precision == "half", fps=fps,
                max_gap=self.max_gap,
            ):  # fmt: skip
                console.print(f"wrote {path}", highlight=False, soft_wrap=True)
        if rotations is not None:
            for path in self._motions():
                rig = self.rig if path.suffix.lower() == ".bvh" else None
                write_motion(rotations, path, self.how, self.count, fps, console, inputs, self.max_gap, rig)
        if self.view is not None:
            from ..view import write_html

            write_html(result, self.view, photos=self._photos(sources), fps=self.fps)
            console.print(f"wrote {self.view}: open it in a browser", highlight=False, soft_wrap=True)
        if self.picture is not None:
            self._draw(result, rotations if turns else None, self.picture, sources, console)
        if self.video is not None:
            from ..view.film import save_film

            with bar(console) as shown:
                save_film(
                    result, self.video, fps=fps, photos=self._photos(sources), max_gap=self.max_gap, progress=shown
                )
            console.print(f"wrote {self.video}", highlight=False, soft_wrap=True)
        if not any((self.out, self.motion, self.view, self.picture, self.video, self.keypoints)):
            console.print(
                "nothing written: add --out poses.parquet, --out clip.bvh or --view scene.html",
                highlight=False,
                soft_wrap=True,
            )

    def _found(self, sources: Sources, console: Console) -> Keypoints2D:
        """The keypoints of photographs, films and keypoint files; written where that is asked for."""
        from ..detect.seen import joined
        from ..files.errors import InputError
        from ..files.films import is_film, read_film
        from ..files.images import image_size
        from ..keypoints.reading import read_keypoints
        from ..keypoints.tracks import of_person
        from ..keypoints.writing import write_keypoints

        size = self.image_size
        if size is None and self.photo is not None and not self.photo.is_dir():
            size = read_film(self.photo).shown if is_film(self.photo) else image_size(self.photo)
        alone = not sources.seen
        person = self.person if alone else None
        read = None
        stored, files = self._stored(sources.keypoints)
        if files or (alone and not stored):  # what is quick, and may be wrong, comes first
            asked = {**self.reading(), "image_size": size, "person": person}
            read = read_in_parts(asked, files)
            read = read_keypoints(files, **asked) if read is None else read
        given = [*stored, *([] if read is None else [read])]
        if not sources.films:  # photographs that are looked at add nothing that moves
            self._check_moves(given)
        parts = [*self.look(sources.seen, console).values(), *given]
        if not parts:
            raise InputError(f"nobody was found in {', '.join(map(str, sources.seen[:5]))}: there is nothing to lift")
        keypoints = joined(parts)
        if self.person is not None and not alone:
            keypoints = of_person(keypoints, self.person)
        if self.keypoints is not None:
            write_keypoints(keypoints, self.keypoints)
            console.print(f"wrote {self.keypoints}", highlight=False, soft_wrap=True)
        return keypoints

    def _stored(self, files: tuple[Path, ...]) -> tuple[list[Keypoints2D], tuple[Path, ...]]:
        """The keypoints of files of observations, and the other files."""
        from ..data.observations import is_observations, load_observations
        from ..files.errors import InputError

        stored = [path for path in files if is_observations(path)]
        for option in ("format", "skeleton", "min_confidence", "confidence_scale"):
            if stored and self.reading().get(option) not in (None, "auto"):
                raise InputError(
                    f"--{option.replace('_', '-')}: does not go with {stored[0]}, whose keypoints are observations"
                )
        keypoints = [load_observations(path).observations.keypoints for path in stored]
        return keypoints, tuple(path for path in files if path not in stored)

    def _check_hypotheses(self) -> None:
        """Kernels are of one file, and as many as there are."""
        from ..detect.sources import sorted_out
        from ..files.errors import InputError

        if self.hypotheses == "samples":
            return
        if any(file.is_dir() for file in self.files) or sorted_out(self.files).camera is not None:
            raise InputError("--hypotheses kernels: does not go with a folder or a camera; lift file by file")
        if self.samples != 200:
            raise InputError("--samples: does not go with --hypotheses kernels, which are as many as the mixture has")

    def _check_moves(self, parts: list[Keypoints2D]) -> None:
        """Refuse a film of what does not move, before it is lifted."""
        if self.video is not None:
            from ..view.film import check_moves

            ids = [i for keypoints in parts for i in keypoints.ids]
            check_moves(self.video, [i.file for i in ids], [i.frame for i in ids])

    def _photos(self, sources: Sources) -> Any:
        """The pictures and films behind the poses, by the names that results call them."""
        return self.photo or {str(path): path for path in sources.seen} or None

    def _run_live(self, camera: int) -> None:
        """What a camera sees, as it happens."""
        from ..files.errors import InputError
        from ..files.films import camera_frames
        from ..lifters import load
        from ._common import check_device, check_level
        from ._live import check_live, lift_live

        for option in ("motion", "view", "picture", "photo", "video", "keypoints", "person"):
            if getattr(self, option) is not None:
                raise InputError(f"--{option}: does not go with a camera; use --out poses.jsonl or .csv")
        check_live(self.out)
        self.check_unused()
        check_level(self.level)
        self.check_camera()
        lifter = load(self.lifter, evidence=self.evidence == "on")
        detector, device = self.load(), check_device(self.device)
        lift_live(
            detector, lifter, camera_frames(camera), self.out, level=self.level, seconds=self.end, device=device,
            told=self.as_told,
        )  # fmt: skip

    def check_folder_alone(self) -> None:
        """Refuse a folder as --out of anything but one folder."""
        from ..files.errors import InputError

        if self.out is None or not (self.out.is_dir() or not self.out.suffix):
            return
        given = "a file" if len(self.files) == 1 else f"{len(self.files)} files and folders"
        raise InputError(
            f"--out {self.out}: a folder as --out needs exactly one folder of photographs and clips, not {given}; give "
            "that, or name a file: --out poses.parquet"
        )

    def check_unused(self) -> None:
        """Refuse options of motion files and of .json where neither is written."""
        check_json_samples(self.json_samples, self.out, self.samples)
        check_rig(self.rig, [])
        check_shown(self.how, self.count, motions=False)

    def check_drawn(self, motions: bool) -> None:
        """Refuse so many samples as nothing could be made of, before any work is done."""
        from ._common import check_samples

        instead = "; motion files are made of samples" if motions else ""
        check_samples(self.samples, self.seed, int(motions), instead)

    def check_turns(self, lifter: Lifter) -> None:
        """Refuse no samples of a lifter with rotations, whose summary they are."""
        from ..lifters import ArticulatedLifter
        from ._common import check_samples

        if isinstance(lifter, ArticulatedLifter):
            check_samples(self.samples, self.seed, 1, "; rotations are told by their samples alone")

    def check_camera(self) -> None:
        import math

        from ..files.errors import InputError

        for name, value in (("--focal", self.focal), ("--height", self.height)):
            if value is not None and not math.isfinite(value):
                raise InputError(f"{name}: expected a finite number, got {value}")
        if self.height is not None and not _SHORTEST <= self.height <= _TALLEST:
            raise InputError(f"--height: expected {_SHORTEST:g} to {_TALLEST:g} metres, got {self.height:g}")
        if self.focal is not None and not 1.0 <= self.focal <= 1e7:
            raise InputError(f"--focal: expected 1 to 1e7 pixels, got {self.focal:g}")
        if self.focal is not None and self.camera is not None:
            raise InputError("--focal and --camera: give one of the two")

    def as_told(self, keypoints: Keypoints2D) -> Keypoints2D:
        """The keypoints with the camera, the height and the frame rate of the options, which results keep."""
        return self.told()(keypoints)

    def told(self) -> Told:
        """The camera, the height and the frame rate of the options."""
        from ..keypoints.told import Told
        from ._common import camera_file

        intrinsics = None if self.camera is None else tuple(camera_file(self.camera))
        return Told(intrinsics, self.focal if self.camera is None else None, self.height, self.fps)

    def _holds_times(self) -> bool:
        """Whether the file for another program has times in it."""
        from ..results.exports import export_kind

        return self.out is not None and export_kind(self.out) not in (None, ".coco.json")

    def _motions(self) -> list[Path]:
        """The motion files asked for."""
        from ..results.poses import RESULT_SUFFIXES

        result = (*RESULT_SUFFIXES, *_EXPORTS)
        out = [] if self.out is None or self.out.suffix.lower() in result else [self.out]
        return out + ([] if self.motion is None else [self.motion])

    def _lifted(
        self, lifter: Lifter, keypoints: Keypoints2D, device: str, console: Console
    ) -> tuple[LiftResult, RotationResult | None, bool, LiftResult]:
        """Poses; rotations where a motion is asked for or they come for nothing; whether these are the lifter's own.

        And what the table shows: these poses, or, where nothing else shows regions, the first few with theirs.
        """
        from ..files.errors import InputError
        from ..lifters import ArticulatedLifter, load
        from ..lifting.clips import NOT_WHOLE, clip_lines, lift_parts, parts_of
        from ..lifting.ik import solve_ik_of_result
        from ..lifting.poses import lift_for_motion
        from ._motion import check_motion_memory, turned_samples

        options: dict[str, Any] = {
            "samples": self.samples, "seed": self.seed, "device": device, "mode": self.how == "mode",
        }  # fmt: skip
        parts = parts_of(lifter, keypoints, self.clip, self.fps)
        for line in clip_lines(keypoints, parts, self.fps):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        for name in ("contacts", "ground"):
            if getattr(self, name) and not any(part.whole for part in parts):
                raise InputError(f"--{name}: is for clips that are lifted as a whole; add --clip on")
        if isinstance(lifter, ArticulatedLifter) and self._rotations_alone() and not any(part.whole for part in parts):
            turned = turned_samples(keypoints, [*self._motions(), self.picture], self.how, self.count, self.samples)
            with options_named("samples"):
                result, first = lift_for_motion(lifter, keypoints, **options, level=self.level, turned=turned)
            return result, result.rotations, True, first
        with options_named("samples"):
            if self._motions():
                check_motion_memory(lifter, len(keypoints), self.samples, any(part.whole for part in parts))
            result = lift_parts(
                lifter, keypoints, parts, **options, level=self.level, fps=self.fps, max_gap=self.max_gap,
                contacts=self.contacts, ground=self.ground,
            )  # fmt: skip
        for name in (NOT_WHOLE, "jumps", "ground"):
            if said := result.settings.get(name):
                console.print(f"{name}: {said}", highlight=False, soft_wrap=True, markup=False)
        turns = isinstance(lifter, ArticulatedLifter)
        if result.rotations is not None or not (self._motions() or turns):
            return result, result.rotations, True, result
        if not turns:
            what = "motions" if any(part.whole for part in parts) else "mean poses"
            console.print(
                f"{result.lifter} has no rotations: inverse kinematics of its {what} by the lifter 'rotations'",
                highlight=False,
                soft_wrap=True,
            )
        return result, solve_ik_of_result(lifter if turns else load("rotations"), result, **options), turns, result

    def _rotations_alone(self) -> bool:
        """Whether all that is written is of rotations, so that the table alone shows regions of poses."""
        return self.view is None and self.video is None and self.out in (None, *self._motions())

    def _draw(
        self, result: LiftResult, rotations: RotationResult | None, path: Path, sources: Sources, console: Console
    ) -> None:
        from ..view.photograph import save_photo_figure

        if rotations is not None:
            write_picture(rotations, path, self.how, console)
            return
        if len(result) <= _DRAWN and len(result.clips()) == len(result):
            save_photo_figure(result, path, max_poses=_DRAWN, photos=self._photos(sources))
            console.print(f"wrote {path}", highlight=False, soft_wrap=True)
            return
        write_sheet(result, path)
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
