"""`poseterior view`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from ..results.poses import LiftResult
    from ..view.bodies import Bodies


@dataclass
class View:
    """Look at a result in 3D: a live viewer in the browser, or one offline page."""

    result: tyro.conf.Positional[Path]
    """File written by `poseterior lift` (.parquet, .npz, or .json with samples); or a motion, .npz of lift, ik or
    AMASS."""
    html: Path | None = None
    """Write an offline page instead of starting the viewer."""
    png: Path | None = None
    """Write a summary picture instead of starting the viewer (.png, .pdf, .svg)."""
    picture: Path | None = None
    """Write a contact sheet of twelve moments in 3D (.png)."""
    mesh: Path | None = None
    """Body model of your own, .npz or plain .pkl of SMPL, SMPL-H or SMPL-X: the viewer, the page and the contact sheet
    show the surface of the mean and of samples. Results that hold no rotations go through inverse kinematics."""
    overlay: Path | None = None
    """Write one pose's hypotheses drawn over each other, in 2D and 3D (.png, .pdf, .svg)."""
    pose: int = 0
    """Row of the result that the overlay shows."""
    camera: Path | None = None
    """Camera file for the overlay's 2D part; by default the camera that the pose was lifted with, or a field of view of
    55 degrees."""
    photo: Path | None = None
    """Photograph, or folder of photographs, that the keypoints come from."""
    hypotheses: int | None = None
    """How many hypotheses are shown (default: 20; in the page as many as it has room for, 200 at most)."""
    level: float | None = None
    """Probability with which each joint is in its ball; another than the file's is of the samples alone, uncalibrated
    (lift again with --level for a calibrated one)."""
    regions: bool = True
    """Show the ball of each joint."""
    ellipsoids: bool = False
    """Show the lifter's own covariance too: an ellipsoid of one standard deviation for each joint."""
    fps: float | None = None
    """Frames per second of the playback (default: what the result tells, else 10)."""
    host: str = "127.0.0.1"
    """Address to listen on; the default is this machine only, others need a token."""
    port: int = 8080
    """Port; the next free one is taken."""
    token: bool = False
    """Who looks needs a secret, which is made up and printed in the address."""
    token_file: Path | None = None
    """The secret: a text file of one line, of 16 characters at least; or in the environment as POSETERIOR_TOKEN."""

    def run(self) -> None:
        from ..files.errors import InputError
        from ..files.writing import check_outputs
        from ._common import camera_file, check_extension, check_level, check_mesh

        check_extension(self.html, "--html", (".html",))
        check_extension(self.png, "--png", (".png", ".pdf", ".svg"))
        check_extension(self.overlay, "--overlay", (".png", ".pdf", ".svg"))
        check_extension(self.picture, "--picture", (".png",))
        outputs = {"--html": self.html, "--png": self.png, "--picture": self.picture, "--overlay": self.overlay}
        check_outputs(outputs, [self.result, self.camera, self.photo, self.token_file, self.mesh])
        if self.mesh is not None and any(outputs.values()) and self.html is None and self.picture is None:
            raise InputError(
                f"--mesh {self.mesh}: is for the viewer, pages and sheets; add --html scene.html or --picture p.png"
            )
        self._check_unused()
        check_mesh(self.mesh)
        if self.level is not None:
            check_level(self.level)
        from ..view import save_hypotheses, save_summary, serve, write_html
        from ..view.scene import PAGE_OPTIONS, SceneOptions

        count = SceneOptions.hypotheses if self.hypotheses is None else self.hypotheses
        options = SceneOptions(hypotheses=count, regions=self.regions, ellipsoids=self.ellipsoids)
        result = self._loaded()
        if self.level is not None:
            result = result.at_level(self.level)
        bodies = None if self.mesh is None else self._bodies(result, self.mesh)
        if self.html is not None:
            held = PAGE_OPTIONS.hypotheses if self.hypotheses is None else self.hypotheses
            page = replace(options, hypotheses=held)
            write_html(result, self.html, photos=self.photo, fps=self.fps, options=page, bodies=bodies)
            print(f"wrote {self.html}: open it in a browser")
        if self.png is not None:
            save_summary(result, self.png, photos=self.photo)
            print(f"wrote {self.png}")
        if self.picture is not None:
            from ._motion import write_sheet

            write_sheet(result, self.picture, bodies)
            print(f"wrote {self.picture}")
        if self.overlay is not None:
            intrinsics = None if self.camera is None else camera_file(self.camera)
            save_hypotheses(result, self.overlay, self.pose, count, photos=self.photo, intrinsics=intrinsics)
            print(f"wrote {self.overlay}")
        if not any(outputs.values()):
            from ..web import find_token

            viewer = serve(
                result, self.host, self.port, photos=self.photo, fps=self.fps, options=options,
                token=find_token(self.token, self.token_file), bodies=bodies,
            )  # fmt: skip
            print(f"viewer at {viewer.url} (Ctrl-C ends it)", flush=True)
            viewer.wait()

    def _check_unused(self) -> None:
        """Refuse options that nothing of what is written would show.

        Raises:
            InputError: says what each is for.
        """
        from ..files.errors import InputError

        viewer = not (self.html or self.png or self.picture or self.overlay)
        page, bodies = viewer or bool(self.html), self.mesh is not None
        in_page = "is for the page and the viewer; add --html scene.html"
        in_overlay = "is for the overlay; add --overlay overlay.png"
        in_viewer = "is for the viewer, which does not start where files are written; leave it out"
        in_pictures = "is for the page, the summary and the overlay; add --html scene.html"
        given = {
            f"--fps {self.fps or 0:g}": (self.fps is not None, page, in_page),
            "--no-regions": (not self.regions, page, in_page),
            "--ellipsoids": (self.ellipsoids, page, in_page),
            f"--hypotheses {self.hypotheses}": (
                self.hypotheses is not None,
                page or bool(self.overlay) or bodies,
                "is for the page, the overlay and the viewer; add --html scene.html",
            ),
            f"--photo {self.photo}": (self.photo is not None, page or bool(self.png or self.overlay), in_pictures),
            f"--pose {self.pose}": (self.pose != 0, bool(self.overlay), in_overlay),
            f"--camera {self.camera}": (self.camera is not None, bool(self.overlay), in_overlay),
            f"--host {self.host}": (self.host != "127.0.0.1", viewer, in_viewer),
            f"--port {self.port}": (self.port != 8080, viewer, in_viewer),
            "--token": (self.token, viewer, in_viewer),
            f"--token-file {self.token_file}": (self.token_file is not None, viewer, in_viewer),
        }
        for option, (there, used, what) in given.items():
            if there and not used:
                raise InputError(f"{option}: {what}")

    def _bodies(self, result: LiftResult, model: Path) -> Bodies:
        """Surfaces, after what makes them is said, and that after the model is read."""
        from ..data.mocap.body_rig import read_body_model
        from ..view.bodies import bodies_of

        body = read_body_model(model)
        if result.rotations is None:
            print(f"{self.result} holds no rotations: inverse kinematics of its poses by the lifter 'rotations'")
        return bodies_of(result, body) if self.hypotheses is None else bodies_of(result, body, self.hypotheses)

    def _loaded(self) -> LiftResult:
        """The result; of what is known to be something else it is said what makes a result of it."""
        from ..detect.sources import sorted_out
        from ..files.errors import InputError
        from ..keypoints.reading import read_keypoints
        from ..lifting.poses import load_result
        from ..results.containers import SUFFIXES
        from ..results.motion import as_lift_result
        from ..results.motion_files import is_motion, read_motion
        from ..results.parts import are_parts

        remedy = f"lift it first: poseterior lift {self.result} --view scene.html"
        if self.result.is_dir() and not are_parts(self.result):
            inside = sorted(path.name for path in self.result.iterdir() if path.suffix.lower() in SUFFIXES)
            named = f"name one of the results in it: {', '.join(inside[:5])}" if inside else "there is no result in it"
            raise InputError(f"{self.result}: is a folder; {named}")
        if self.result.is_file() and sorted_out([self.result]).seen:
            raise InputError(f"{self.result}: is a photograph or film, not a result; {remedy}")
        if is_motion(self.result):
            return as_lift_result(read_motion(self.result), level=self.level or 0.9)
        try:
            return load_result(self.result)
        except InputError as refused:
            if self.result.is_dir():
                raise
            try:
                read_keypoints(self.result)
            except InputError:
                raise refused from None
            raise InputError(f"{self.result}: holds keypoints, not a result; {remedy}") from None
