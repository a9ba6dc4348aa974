"""Sound files of every kind that is read, and files that name others: tiny, the same bytes every time."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from av.codec.context import CodecContext
from av.video.frame import VideoFrame
from PIL import Image

from fuzz.trial import CANARY
from media.clips import make_clip, picture
from media.elsewhere import PLAYLISTS, linked_elsewhere, reference_elsewhere

FRAMES, SIDE = 6, 32
ALIKE = {"fflags": "+bitexact"}  # no random numbers in Matroska
ONE_THREAD = {"threads": "1"}

CLIPS: dict[str, dict[str, object]] = {
    "h264_aac.mp4": {"sound": "aac"},
    "h264_fragments.mp4": {"container_options": {"movflags": "+frag_keyframe+empty_moov"}},
    "hevc_10bit.mp4": {"codec": "libx265", "pixel_format": "yuv420p10le"},
    "prores_pcm.mov": {"codec": "prores_ks", "pixel_format": "yuv422p10le", "sound": "pcm_s16le"},
    "prores_alpha.mov": {"codec": "prores_ks", "pixel_format": "yuva444p10le"},
    "mjpeg.mov": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "hevc_opus.mkv": {"codec": "libx265", "sound": "libopus", "subtitles": 1},
    "ffv1_flac.mkv": {"codec": "ffv1", "pixel_format": "bgr0", "sound": "flac"},
    "vfr.mkv": {"times": [0, 1, 4, 5, 9, 10]},
    "vp9_opus.webm": {"codec": "libvpx-vp9", "sound": "libopus"},
    "vp8.webm": {"codec": "libvpx"},
    "av1.webm": {"codec": "libsvtav1", "width": 64, "height": 64},
    "mjpeg_pcm.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p", "sound": "pcm_s16le"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg2_mp2.ts": {"codec": "mpeg2video", "sound": "mp2", "rate": 25},
    "h264.ts": {"options": {"profile": "baseline"}},
    "mpeg1.mpg": {"codec": "mpeg1video", "rate": 25},
    "h264_aac.flv": {"sound": "aac"},
    "msmpeg4.asf": {"codec": "msmpeg4"},
    "vp8.ogv": {"codec": "libvpx"},
    "plain.y4m": {"codec": "rawvideo"},
    "raw.h264": {},
    "raw.hevc": {"codec": "libx265"},
    "h264_aac_joined.ts": {"sound": "aac"},
    "mpeg2_joined.mpg": {"codec": "mpeg2video", "rate": 25},
    "plain.gif": {"codec": "gif", "pixel_format": "rgb8"},
}
STILLS: dict[str, dict[str, object]] = {
    "still.png": {},
    "still.jpg": {"quality": 90},
    "still.tiff": {"compression": "tiff_lzw"},
    "numbered.png": {},
    "numbered.jpg": {"quality": 90},
    "still.bmp": {},
    "still.webp": {"lossless": True},
    "animated.webp": {"animated": True, "lossless": True, "duration": 40},
    "animated.gif": {"animated": True, "duration": 40, "loop": 0},
    "animated.png": {"animated": True, "duration": 40},
}


def make_seeds(folder: Path) -> list[Path]:
    """Write all of them and return their paths, in an order that never changes."""
    folder.mkdir(parents=True, exist_ok=True)
    return [make(folder / name) for name, make in SEEDS.items()]


def _clip(path: Path) -> Path:
    given = {"width": SIDE, "height": SIDE, "frames": FRAMES, **CLIPS.get(path.name, {})}
    containers = {**ALIKE, **given.pop("container_options", {})}
    options = {**ONE_THREAD, **given.pop("options", {})}
    if given.get("codec") == "libx265":
        options["x265-params"] = "log-level=none:pools=1:frame-threads=1:cutree=0:ctu=16"
    if given.get("codec") == "libsvtav1":
        options |= {"preset": "12", "svtav1-params": "lp=1"}
    made = make_clip(path, **given, container_options=containers, options=options)
    if path.stem.endswith("joined"):
        made.write_bytes(2 * made.read_bytes())  # whose clock begins again
    return made


def _still(path: Path) -> Path:
    given = dict(STILLS[path.name])
    pictures = [Image.fromarray(picture(number, SIDE, SIDE)) for number in range(FRAMES)]
    more = {"save_all": True, "append_images": pictures[1:]} if given.pop("animated", False) else {}
    pictures[0].save(path, **more, **given)
    return path


def _deep(path: Path) -> Path:
    """Write a picture of 16 bits, which others decode than those of 8."""
    levels = np.arange(SIDE * SIDE * 3, dtype=np.uint16).reshape(SIDE, SIDE, 3) * 21
    cv2.imwrite(str(path), levels)
    return path


def _film(path: Path) -> Path:
    """Write a picture of film or effects, which libav alone decodes."""
    context = CodecContext.create(path.suffix[1:], "w")
    context.width, context.height, context.time_base = SIDE, SIDE, Fraction(1, 24)
    context.pix_fmt = "gbrpf32le" if path.suffix == ".exr" else "gbrp10le"
    frame = VideoFrame.from_ndarray(picture(0, SIDE, SIDE), "rgb24").reformat(format=context.pix_fmt)
    frame.pts = 0
    path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))
    return path


def _elsewhere(path: Path) -> Path:
    """Write a file that names a canary; playlists name it by two names, the one without a folder first."""
    if path.suffix[1:] in PLAYLISTS:
        text = "".join(PLAYLISTS[path.suffix[1:]](name) for name in (CANARY, NAMED))
        path.write_text(text)
        return path
    made = _clip(path)
    change = linked_elsewhere if path.suffix == ".mkv" else _data_elsewhere
    made.write_bytes(change(made.read_bytes(), NAMED))
    return made


def _data_elsewhere(content: bytes, target: str) -> bytes:
    return reference_elsewhere(content, b"url ", target)


def make_canary(folder: Path) -> Path:
    """Write what files name and nobody may open."""
    return make_clip(folder / CANARY, width=SIDE, height=SIDE, frames=FRAMES, codec="mpeg2video", rate=25)


NAMED = f"/proc/self/cwd/{CANARY}"  # beside where a worker stands, by a name that is the same everywhere
REFUSED = ("elsewhere.hls", "elsewhere.ffconcat")  # though nothing is broken
ELSEWHERE = ("elsewhere.mov", "elsewhere.mkv", *REFUSED)
DEEP = ("deep.png", "deep.tif")
FILM = ("film.exr", "film.dpx")
SEEDS: dict[str, Callable[[Path], Path]] = {
    **dict.fromkeys(CLIPS, _clip),
    **dict.fromkeys(STILLS, _still),
    **dict.fromkeys(DEEP, _deep),
    **dict.fromkeys(FILM, _film),
    **dict.fromkeys(ELSEWHERE, _elsewhere),
}
