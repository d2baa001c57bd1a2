"""Films are decoded again and compared with the frames that went in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from keel.runners.video import VideoWriter


def colours(height: int, width: int, count: int) -> list[Any]:
    """Plain frames of different colours, so that each is known by its colour after lossy compression."""
    palette = [(200, 30, 30), (30, 160, 60), (40, 60, 200), (240, 240, 240), (20, 20, 20)]
    return [np.full((height, width, 3), palette[index % len(palette)], np.uint8) for index in range(count)]


def write(path: Path, frames: Iterable[Any], frames_per_second: float) -> Path:
    with VideoWriter(path, frames_per_second) as writer:
        for frame in frames:
            writer.append(frame)
    return path


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as film:
        return list(film.decode(video=0))


def seconds(frame: av.VideoFrame) -> float:
    assert frame.time is not None
    return frame.time


def delays(path: Path) -> list[int]:
    """Milliseconds that a browser shows each frame of a GIF."""
    with Image.open(path) as film:
        return [frame.info["duration"] for frame in ImageSequence.Iterator(film)]


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_mp4_is_what_browsers_play_and_keeps_frames_and_colours(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = colours(*size, 7)
    path = write(tmp_path / "new" / "film.mp4", frames, 25)
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (64, 48, 25)
    decoded = decode(path)
    assert len(decoded) == 7
    for frame, expected in zip(decoded, frames, strict=True):
        found = frame.to_ndarray(format="rgb24")[: size[0], : size[1]].astype(int)
        assert np.abs(found - expected).max() <= 8
    assert seconds(decoded[-1]) == pytest.approx(6 / 25)


def test_mp4_starts_to_play_while_it_loads(tmp_path: Path) -> None:
    data = write(tmp_path / "film.mp4", colours(32, 32, 5), 30).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_mp4_keeps_a_broken_rate(tmp_path: Path) -> None:
    decoded = decode(write(tmp_path / "film.mp4", colours(32, 32, 11), 12.5))
    assert seconds(decoded[10]) == pytest.approx(10 / 12.5, abs=1e-3)


def test_gif_keeps_frames_and_time(tmp_path: Path) -> None:
    frames = colours(31, 33, 6)
    decoded = decode(write(tmp_path / "film.gif", frames, 10))
    for frame, expected in zip(decoded, frames, strict=True):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - expected).max() <= 8
    assert [seconds(frame) for frame in decoded] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_gif_leaves_frames_out_rather_than_play_slower(tmp_path: Path) -> None:
    decoded = decode(write(tmp_path / "film.gif", colours(16, 16, 101), 100))
    times = [seconds(frame) for frame in decoded]
    assert times[-1] == pytest.approx(1.0)
    assert np.diff(times).min() >= 0.02 - 1e-9


def test_gif_stores_what_stays_once_and_shows_it_for_as_long(tmp_path: Path) -> None:
    first, second, third, *_ = colours(40, 60, 5)
    path = write(tmp_path / "film.gif", [first] * 3 + [second] + [third] * 20, 10)
    decoded = decode(path)
    assert [seconds(frame) for frame in decoded] == pytest.approx([0, 0.3, 0.4, 2.3])
    for frame, expected in zip(decoded, (first, second, third, third), strict=True):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - expected).max() <= 8
    assert path.stat().st_size < write(tmp_path / "long.gif", colours(40, 60, 24), 10).stat().st_size / 2
    assert delays(path) == [300, 100, 1900, 100]


def test_gif_of_one_frame_that_stays(tmp_path: Path) -> None:
    assert seconds(decode(write(tmp_path / "film.gif", colours(16, 16, 1) * 5, 10))[-1]) == pytest.approx(0.4)


def test_frames_may_be_views(tmp_path: Path) -> None:
    frames = [frame[::2, ::-1] for frame in colours(64, 32, 3)]
    assert len(decode(write(tmp_path / "film.mp4", frames, 30))) == 3


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), TypeError, "uint8.*float32"),
        (np.zeros((8, 8), np.uint8), ValueError, r"\[H W 3\].*\[8, 8\]"),
        (np.zeros((8, 8, 4), np.uint8), ValueError, r"\[8, 8, 4\]"),
        (np.zeros((0, 8, 3), np.uint8), ValueError, r"\[0, 8, 3\]"),
        (np.zeros((8, 10, 3), np.uint8), ValueError, r"first, \[8, 8, 3\], got \[8, 10, 3\]"),
        (None, TypeError, "NoneType"),
    ],
)
def test_wrong_frames_are_named_and_leave_no_file(
    tmp_path: Path, frame: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write(tmp_path / "film.mp4", [np.zeros((8, 8, 3), np.uint8), frame], 30)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_film_leaves_the_older_one(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", colours(16, 16, 2), 30)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write(path, interrupted(), 30)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def interrupted() -> Iterator[Any]:
    yield colours(16, 16, 1)[0]
    raise KeyboardInterrupt


def test_the_film_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    with VideoWriter(path, 30) as writer:
        writer.append(colours(16, 16, 1)[0])
        assert not path.exists()
    assert path.exists()


def test_settings_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.mp4 or \.gif.*film\.avi"):
        VideoWriter(tmp_path / "film.avi", 30)
    for rate in (0, -1, 1e9, float("nan")):
        with pytest.raises(ValueError, match="frames_per_second"):
            VideoWriter(tmp_path / "film.mp4", rate)
    with pytest.raises(ValueError, match="at least one frame"), VideoWriter(tmp_path / "film.mp4", 30):
        pass
    assert list(tmp_path.iterdir()) == []
