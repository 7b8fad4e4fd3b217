"""`poseterior keypoints click`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass
class Keypoints:
    """Make a keypoint file by clicking the joints of a person in a photograph, on a page in the browser.

    Example: poseterior keypoints click photo.jpg; then poseterior lift photo.json
    """

    action: tyro.conf.Positional[Literal["click"]]
    """What to do."""
    image: tyro.conf.Positional[Path]
    """Photograph."""
    skeleton: str = "h36m17"
    """The joints to click, e.g. h36m17, coco17 or lsp14."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Keypoint file: .json (default: named as the photograph, in the current folder). If it exists, it is gone on
    with."""
    host: str = "127.0.0.1"
    """Address to listen on; the default is this machine only, others need a token."""
    port: int = 8322
    """Port; 0 for any that is free."""
    token: bool = False
    """Who opens the page needs a secret, which is made up and printed in the address."""
    token_file: Path | None = None
    """The secret: a text file of one line, of 16 characters at least; or in the environment as POSETERIOR_TOKEN."""

    def run(self) -> None:
        from ..annotate import check_installed
        from ..files.writing import check_outputs
        from ._common import check_extension

        check_installed()
        out = self.out or Path(f"{self.image.stem}.json")
        check_extension(out, "--out", (".json",))
        check_outputs({"--out": out}, [self.image, self.token_file])
        from ..annotate.clicks import ClickTarget
        from ..annotate.figures import reference_figure
        from ..annotate.server import create_click_app, serve
        from ..files.images import image_size
        from ..geometry.skeletons import get_skeleton
        from ..web import find_token

        skeleton = get_skeleton(self.skeleton)
        reference_figure(skeleton)
        target = ClickTarget(self.image, image_size(self.image), skeleton, out)
        target.load()

        token = find_token(self.token, self.token_file)

        def ready(address: Callable[..., str]) -> None:
            print(f"click the joints at {address(token)} (Ctrl-C ends it)", flush=True)

        serve(lambda: create_click_app(target, token), self.host, self.port, token, ready)
        if out.exists():
            print(f"next: {target.next_command}")
