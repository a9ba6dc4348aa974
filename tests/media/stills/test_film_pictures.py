"""OpenEXR and DPX: linear light and levels of 10 and 12 bits arrive as sRGB in 16, and what is cut is named."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import CodecContext

from venhancer.errors import InputError
from venhancer.media.reading.isolation import inspect
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames

STEPS = np.linspace(0, 1, 64, dtype=np.float32)
LIGHT = np.stack([np.tile(STEPS, (48, 1)), np.tile(STEPS[::-1], (48, 1)), np.full((48, 64), 0.18, np.float32)], -1)


def srgb(light: np.ndarray) -> np.ndarray:
    """Return signals of light, both 0 to 1 (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def write(path: Path, planes: list[np.ndarray], pixel_format: str, **options: str) -> Path:
    """Encode planes, green first, as one picture."""
    context = CodecContext.create(path.suffix[1:], "w")
    context.width, context.height, context.pix_fmt, context.time_base = 64, 48, pixel_format, Fraction(1, 24)
    context.options = options
    frame = av.VideoFrame(64, 48, pixel_format)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((48, plane.line_size // values.itemsize), values.dtype)
        rows[:, :64] = values
        plane.update(rows.tobytes())
    frame.pts = 0
    path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))
    return path


def in_exr(path: Path, light: np.ndarray, kind: str = "float") -> Path:
    planes = [np.ascontiguousarray(light[..., place]) for place in (1, 2, 0, 3)[: light.shape[-1]]]
    return write(path, planes, "gbrapf32le" if len(planes) == 4 else "gbrpf32le", format=kind)


@pytest.mark.parametrize("kind", ["float", "half"])
def test_linear_light_becomes_srgb(tmp_path, kind):
    clip = probe(in_exr(tmp_path / "a.exr", LIGHT, kind))
    assert (clip.codec, clip.width, clip.height, clip.depth, clip.not_kept) == ("exr", 64, 48, 16, ())
    (frame,) = read_frames(clip)
    assert frame.dtype == np.uint16
    assert np.abs(frame / 65535 - srgb(LIGHT)).max() < (1e-4 if kind == "float" else 1e-3)


def test_light_beyond_white_is_cut_and_named(tmp_path):
    clip = probe(in_exr(tmp_path / "a.exr", LIGHT * 4))
    assert clip.not_kept == ("light brighter than white",)
    (frame,) = read_frames(clip)
    assert np.abs(frame / 65535 - srgb(np.minimum(LIGHT * 4, 1))).max() < 1e-4


def test_colours_multiplied_by_opacity_are_divided_by_it(tmp_path):
    opacity = np.full((48, 64, 1), 0.5, np.float32)
    clip = probe(in_exr(tmp_path / "a.exr", np.concatenate([LIGHT * opacity, opacity], -1)))
    assert clip.has_alpha
    (frame,) = read_frames(clip)
    assert np.abs(frame / 65535 - srgb(LIGHT)).max() < 1e-4


@pytest.mark.parametrize("bits", [10, 12])
def test_levels_of_dpx_arrive_in_all_bits(tmp_path, bits):
    levels = np.round(LIGHT * ((1 << bits) - 1)).astype(np.uint16)
    for number in (1, 2, 3):
        write(tmp_path / f"a{number}.dpx", [levels[..., place] for place in (1, 2, 0)], f"gbrp{bits}le")
    clip = inspect(tmp_path / "a%d.dpx")
    assert (clip.codec, clip.frames, clip.depth) == ("dpx", 3, 16)
    for frame in read_frames(clip):
        assert np.array_equal(frame >> (16 - bits), levels)


def test_densities_of_film_are_refused(tmp_path):
    path = write(tmp_path / "a.dpx", [np.zeros((48, 64), np.uint16)] * 3, "gbrp10le")
    data = bytearray(path.read_bytes())
    data[801] = 3
    path.write_bytes(data)
    with pytest.raises(InputError, match="logarithmic film densities; convert it"):
        probe(path)


def test_broken_pictures_are_refused_in_one_line(tmp_path):
    whole = in_exr(tmp_path / "a.exr", LIGHT).read_bytes()
    for size in (3, 4, 100, 300, len(whole) // 2):
        (tmp_path / "b.exr").write_bytes(whole[:size])
        with pytest.raises(InputError) as refused:
            inspect(tmp_path / "b.exr")
        assert "\n" not in str(refused.value)
