"""Films frame by frame: which frame is which, turned as the file says, and what is said of broken ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from blobs import film as write
from poseterior.files.errors import InputError
from poseterior.files.ffmpeg import reading_program
from poseterior.files.films import FilmFrames, frames_of_film, is_film, read_film

SIZE = (64, 48)


def pictures(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Frames that tell their number: by their grey, with a bright upper left corner."""
    width, height = size
    made = []
    for number in range(count):
        frame = np.full((height, width, 3), 5 * number, np.uint8)
        frame[:8, :8] = 255
        made.append(frame)
    return made


def numbers(frames: list[tuple[int, np.ndarray]]) -> list[int]:
    """What the pictures themselves say."""
    return [round(float(np.median(picture)) / 5) for _, picture in frames]


def ffmpeg(*arguments: object) -> None:
    subprocess.run([reading_program("test"), "-v", "error", "-y", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("films") / "a.mkv", pictures(40), "30000/1001")


def test_the_head(clip: Path) -> None:
    film = read_film(clip)
    assert film.fps == pytest.approx(30000 / 1001, abs=1e-12)
    assert film.size == film.shown == SIZE
    assert film.frames == 40


def test_every_frame_as_it_was(clip: Path) -> None:
    frames = list(frames_of_film(read_film(clip)))
    assert [number for number, _ in frames] == list(range(40))
    assert all(np.array_equal(got, made) for (_, got), made in zip(frames, pictures(40), strict=True))


@pytest.mark.parametrize(
    ("start", "end", "every"),
    [(0.0, None, 3), (0.5, None, 1), (0.5, 0.9, 2), (10.2 / 29.97, 12.5 / 29.97, 1), (1.3013, None, 1), (0, 1e9, 7)],
)
def test_some_frames_with_their_numbers(clip: Path, start: float, end: float | None, every: int) -> None:
    frames = list(frames_of_film(read_film(clip), start, end, every))
    rate = 30000 / 1001
    wanted = [n for n in range(40) if n / rate >= start - 4e-4 and (end is None or n / rate < end)][::every]
    assert [number for number, _ in frames] == wanted
    assert numbers(frames) == wanted


@pytest.mark.parametrize(("turn", "corner"), [(90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))])
def test_a_film_is_turned_as_it_says(clip: Path, turn: int, corner: tuple[int, int], tmp_path: Path) -> None:
    straight, path = tmp_path / "straight.mp4", tmp_path / "turned.mp4"
    write(straight, pictures(10), "25", "-c:v", "libx264", "-crf", "4", "-pix_fmt", "yuv420p")
    ffmpeg("-display_rotation", turn, "-i", straight, "-c", "copy", path)
    film = read_film(path)
    frames = list(frames_of_film(film))
    wanted = SIZE if turn == 180 else SIZE[::-1]
    assert film.shown == wanted
    assert {picture.shape for _, picture in frames} == {(wanted[1], wanted[0], 3)}
    assert frames[3][1][corner].min() > 240
    assert frames[3][1][0, 0].max() < 60


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", pictures(3), "25", "-vf", "setsar=2", "-c:v", "ffv1", "-pix_fmt", "bgr0")
    film = read_film(path)
    assert film.shown == (128, 48)
    assert next(frames_of_film(film))[1].shape == (48, 128, 3)


def test_a_film_with_uneven_frames_keeps_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write(tmp_path / "even.mkv", pictures(30), "30")
    ffmpeg("-i", tmp_path / "even.mkv", "-vf", "select=lt(n\\,10)+gt(n\\,19)", "-fps_mode", "vfr", "-crf", 4, path)
    film = read_film(path)
    frames = list(frames_of_film(film))
    there = [n for n in range(30) if not 10 <= n <= 19]
    for (number, _), shown in zip(frames, numbers(frames), strict=True):
        now = (number + 0.5) / film.fps  # to the nearest frame
        assert shown == max(n for n in there if n / 30 <= now + 1e-6)
    assert len(frames) == pytest.approx(film.fps, abs=1)


def test_frames_by_number_in_any_order(clip: Path) -> None:
    with FilmFrames(clip) as frames:
        for number in (0, 1, 5, 5, 39, 3, 4):
            picture = frames.at(number)
            assert picture is not None
            assert np.array_equal(picture, pictures(40)[number])
        assert frames.at(40) is None
        assert frames.at(4000) is None


def test_who_stops_asking_ends_the_program(clip: Path) -> None:
    frames = frames_of_film(read_film(clip))
    next(frames)
    frames.close()
    with pytest.raises(StopIteration):
        next(frames)


def test_names_of_films() -> None:
    assert is_film("a/B.MP4")
    assert not is_film("a.jpg")


# -- broken ones -----------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        list(frames_of_film(read_film(path)))
    return str(error.value).removeprefix(f"{path}: ")


def test_what_is_no_film(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.mp4") == "no such file"
    assert refused(tmp_path) == "is a folder, not a film"
    (tmp_path / "empty.mp4").touch()
    assert refused(tmp_path / "empty.mp4") == "is empty; copy or record it anew"
    (tmp_path / "text.avi").write_text("no film at all, but some text\n" * 50)
    assert refused(tmp_path / "text.avi").startswith("cannot be read as a film (")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "sound.mp4")
    assert refused(tmp_path / "sound.mp4") == "has no pictures, only sound or text; give a film"


def test_a_list_of_other_files_is_no_film(clip: Path, tmp_path: Path) -> None:
    for name, text in (("a.ts", f"ffconcat version 1.0\nfile '{clip}'\n"), ("b.mp4", f"#EXTM3U\n#EXTINF:1,\n{clip}\n")):
        (tmp_path / name).write_text(text)
        assert refused(tmp_path / name).startswith(("cannot be read as a film (", "is truncated, or no film"))


def test_a_film_cut_short_says_what_could_be_read(tmp_path: Path, caplog) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
    whole = write(tmp_path / "whole.mp4", list(noise), "30", "-movflags", "+faststart")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames = list(frames_of_film(read_film(cut)))
    assert 10 < len(frames) < 50
    assert caplog.messages == [f"{cut}: is truncated or damaged: {len(frames)} of 60 frames could be read"]
    late = write(tmp_path / "late.mp4", list(noise[:30]), "30")
    late.write_bytes(late.read_bytes()[:-2000])
    assert refused(late) == "is truncated, or no film: the list of its frames (moov) is missing; copy it anew"


def test_sound_that_goes_on_after_the_pictures_is_no_damage(tmp_path: Path, caplog) -> None:
    silent = write(tmp_path / "silent.mkv", pictures(40), "25")
    loud = tmp_path / "loud.mkv"
    ffmpeg("-i", silent, "-f", "lavfi", "-i", "sine=duration=2.4", "-c:v", "copy", loud)
    film = read_film(loud)
    assert film.frames == pytest.approx(60, abs=1)
    assert len(list(frames_of_film(film))) == 40
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (5.0, None, "FILM: lasts 1.33 s; a start at 5 s is after its end"),
        (-1.0, None, "start: expected seconds from 0, got -1"),
        (1.0, 0.5, "end: expected seconds after the start (1), got 0.5"),
        (0.01, 0.02, "FILM: no frame from 0.01 to 0.02 s, at 29.97 frames a second"),
    ],
)
def test_no_frames_between_start_and_end(clip: Path, start: float, end: float | None, message: str) -> None:
    with pytest.raises(InputError) as error:
        next(frames_of_film(read_film(clip), start, end))
    assert str(error.value) == message.replace("FILM", str(clip))
