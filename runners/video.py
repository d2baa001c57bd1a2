"""Frames into a film: H.264 in mp4 for every browser, or an animated GIF, by the suffix of the file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from keel.envs.protocol import Array

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph
    from av.video.stream import VideoStream

SUFFIXES = (".mp4", ".gif")


class VideoWriter:
    """Write frames to `path`, which appears only when the film is complete.

    Use it as a context manager: leaving it normally finishes the film, leaving it by an exception leaves no file.

    Args:
        path: ends in .mp4 (H.264, yuv420p, playable while it loads) or .gif (256 colours for each frame).
        frames_per_second: in (0, 1000]. A GIF shows at most 50 frames a second, as browsers do: beyond that it leaves
            frames out and keeps the speed.
    Raises:
        ValueError: for another suffix or speed, for a frame that is unlike the first, or if no frame came at all.
        TypeError: for a frame that is not an array of bytes.
    """

    def __init__(self, path: Path | str, frames_per_second: float) -> None:
        self.path = check_path(path)
        if not 0 < frames_per_second <= 1000:
            raise ValueError(f"frames_per_second must be in (0, 1000], got {frames_per_second}")
        self.frames_per_second = frames_per_second
        self.frames = 0
        self._shape: tuple[int, ...] | None = None
        self._unfinished = self.path.with_name(f".unfinished-{self.path.name}")
        self._encoder: _Mp4 | _Gif | None = None

    def append(self, frame: Array) -> None:
        """Add one frame, [H W 3] uint8, as large as the first one."""
        frame = _check_frame(frame, self._shape)
        if self._encoder is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            encoder = _Gif if self.path.suffix.lower() == ".gif" else _Mp4
            self._encoder = encoder(self._unfinished, frame.shape, self.frames_per_second)
            self._shape = frame.shape
        self._encoder.append(frame)
        self.frames += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._encoder is not None:
                self._encoder.close()
            if kind is None:
                if self.frames == 0:
                    raise ValueError(f"{self.path}: a film needs at least one frame, got none")
                self._unfinished.replace(self.path)
        finally:
            self._unfinished.unlink(missing_ok=True)


def check_path(path: Path | str) -> Path:
    """The path of a film, if its suffix is one that can be written."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a video file must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
    return path


def _check_frame(frame: Array, shape: tuple[int, ...] | None) -> Array:
    if not isinstance(frame, np.ndarray):
        raise TypeError(f"a frame must be a numpy array [H W 3] uint8, got {type(frame).__name__}")
    if frame.dtype != np.uint8:
        raise TypeError(f"a frame must be uint8 (0 to 255), got {frame.dtype}")
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(f"a frame must have the shape [H W 3], got {list(frame.shape)}")
    if shape is not None and frame.shape != shape:
        raise ValueError(f"every frame must have the shape of the first, {list(shape)}, got {list(frame.shape)}")
    return frame


class _Mp4:
    def __init__(self, path: Path, shape: tuple[int, ...], frames_per_second: float) -> None:
        import av

        rate = Fraction(frames_per_second).limit_denominator(1001)
        self._file = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        stream = self._file.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        # Without the colour standard written into the film, players guess it from the size and shift the colours.
        stream.codec_context.options.update({"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"})
        stream.height, stream.width = (size + size % 2 for size in shape[:2])
        stream.pix_fmt = "yuv420p"
        self._stream: VideoStream = stream

    def append(self, frame: Array) -> None:
        import av

        height, width = frame.shape[:2]
        if height % 2 or width % 2:  # yuv420p stores colour for squares of 2 x 2 pixels
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        self._file.mux(self._stream.encode(picture.reformat(format="yuv420p", dst_colorspace="itu709")))

    def close(self) -> None:
        self._file.mux(self._stream.encode())
        self._file.close()


class _Gif:
    """Time counts in hundredths of a second, the unit of the format; browsers slow a frame of less than two down."""

    def __init__(self, path: Path, shape: tuple[int, ...], frames_per_second: float) -> None:
        import av

        self._hundredths_per_frame = 100 / frames_per_second
        last = max(2, round(self._hundredths_per_frame))
        self._file = av.open(str(path), "w", format="gif", options={"final_delay": str(last)})
        # Storing only what changed since the last frame, the encoder overlooks that each frame has its own palette.
        stream = self._file.add_stream("gif", rate=100, options={"gifflags": "0"})
        stream.height, stream.width = shape[:2]
        stream.pix_fmt = "pal8"
        self._stream: VideoStream = stream
        self._palette = _palette_of_each_frame(*shape[:2])
        self._seen = 0
        self._next_time = 0
        self._written: Array | None = None  # the last frame that was
        self._stays_until: int | None = None  # the time to which it stayed since

    def append(self, frame: Array) -> None:
        time = round(self._seen * self._hundredths_per_frame)
        self._seen += 1
        if self._written is not None and np.array_equal(frame, self._written):
            self._stays_until = time  # what stays needs no frame of its own
        elif time >= self._next_time:
            self._write(frame, time)

    def _write(self, frame: Array, time: int) -> None:
        import av

        self._next_time, self._written, self._stays_until = time + 2, frame.copy(), None
        picture: VideoFrame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = time, Fraction(1, 100)
        self._palette.push(picture)
        indexed: Any = self._palette.pull()
        indexed.pts, indexed.time_base = time, Fraction(1, 100)
        self._file.mux(self._stream.encode(indexed))

    def close(self) -> None:
        if self._written is not None and self._stays_until is not None and self._stays_until >= self._next_time:
            self._write(self._written, self._stays_until)  # the end is seen for as long as it stayed
        self._file.mux(self._stream.encode())
        self._file.close()


def _palette_of_each_frame(height: int, width: int) -> Graph:
    from av import VideoFormat
    from av.filter import Graph

    graph = Graph()
    picture = VideoFormat("rgb24", width, height)
    source = graph.add_buffer(width=width, height=height, format=picture, time_base=Fraction(1, 100))
    split, sink = graph.add("split"), graph.add("buffersink")
    palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use = graph.add("paletteuse", "new=1:dither=none")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
