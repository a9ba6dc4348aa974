"""Videos without any loss for programs of others: FFV1 in Matroska, or H.264 of RGB for those that read MP4 only."""

from fractions import Fraction
from pathlib import Path

import av

from venhancer.errors import JobFailed
from venhancer.frames.levels import Frames
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing


def write_lossless(file: Path, frames: Frames, rate: Fraction) -> None:
    """Write frames into a Matroska file, which needs even sides, or one of another ending.

    Raises:
        JobFailed: it cannot be written.
    """
    _, height, width, _ = frames.shape
    if file.suffix == ".mkv":
        writing = Writing(width=width, height=height, rate=rate, codec="ffv1")
        write_video(file, iter(frames), writing, sound_from=None)
        return
    try:
        with av.open(str(file), "w") as container:
            stream = container.add_stream("libx264rgb", rate=rate, options={"crf": "0"})
            stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
    except (OSError, ValueError) as error:
        raise JobFailed(f"{file} cannot be written: {' '.join(str(error).split())}") from error
