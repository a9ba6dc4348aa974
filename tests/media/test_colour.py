"""Colours mean the same on the way in and on the way out, to a fraction of a level."""

import numpy as np
import pytest
from av.video.frame import VideoFrame

from venhancer.media.colour import (
    KNEE,
    KNEE_NITS,
    nits_to_pq,
    nits_to_proxy,
    pq_to_nits,
    proxy_to_nits,
    to_picture,
    to_rgb,
    transfer_of,
)

LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}  # red and blue
SIDE = 16  # of the blocks of one colour


def colours(count: int = 8) -> np.ndarray:
    """Return blocks of colours, 0..1, black and white among them."""
    random = np.random.default_rng(0).uniform(0, 1, (count, count, 3))
    random[0, 0], random[0, 1] = 0, 1
    return random


def codes(rgb: np.ndarray, matrix: str, bits: int, full: bool) -> list[np.ndarray]:
    """Return the exact Y'CbCr of colours, by the formulas of BT.601, BT.709 and BT.2020."""
    red, blue = LUMA[matrix]
    y = rgb @ np.array([red, 1 - red - blue, blue])
    u, v = (rgb[..., 2] - y) / (2 - 2 * blue), (rgb[..., 0] - y) / (2 - 2 * red)
    unit, top = 2 ** (bits - 8), 2**bits - 1
    if full:
        return [y * top, u * top + 2 ** (bits - 1), v * top + 2 ** (bits - 1)]
    return [(219 * y + 16) * unit, (224 * u + 128) * unit, (224 * v + 128) * unit]


def blocks(values: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.kron(values, np.ones((height // values.shape[0], width // values.shape[1])))


def picture_of(planes: list[np.ndarray], pixel_format: str, bits: int) -> VideoFrame:
    side = SIDE * len(planes[0])
    picture = VideoFrame(side, side, pixel_format)
    kind = np.uint16 if bits > 8 else np.uint8
    for plane, values in zip(picture.planes, planes, strict=True):
        padded = np.zeros((plane.height, plane.line_size // np.dtype(kind).itemsize), kind)
        padded[:, : plane.width] = blocks(values, plane.height, plane.width)
        plane.update(padded)
    return picture


def planes_of(picture: VideoFrame, bits: int) -> list[np.ndarray]:
    kind = np.uint16 if bits > 8 else np.uint8
    for plane in picture.planes:
        rows = np.frombuffer(bytes(plane), kind).reshape(plane.height, -1)[:, : plane.width]
        step = plane.height // 8
        yield rows[step // 2 :: step, step // 2 :: step].astype(float)


@pytest.mark.parametrize(("pixel_format", "bits"), [("yuv420p10le", 10), ("yuv444p10le", 10), ("yuv422p12le", 12)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", LUMA)
def test_deep_colours_are_those_of_the_formula(matrix, full, pixel_format, bits):
    """Within a quarter of a level of 12 bits; black is 0 and white is 65535."""
    exact = colours()
    planes = [np.clip(np.round(plane), 0, 2**bits - 1) for plane in codes(exact, matrix, bits, full)]
    rgb = to_rgb(picture_of(planes, pixel_format, bits), matrix=matrix, full_range=full, depth=bits)
    rounding = 65535 / 2**bits * 2  # of the codes themselves
    assert rgb.dtype == np.uint16
    assert np.abs(rgb[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE] - 65535 * exact).max() <= rounding + 4
    assert rgb[4, 4].max() <= 4
    assert rgb[4, SIDE + 4].min() >= 65531


@pytest.mark.parametrize(("pixel_format", "bits"), [("yuv420p", 8), ("yuv420p10le", 10), ("yuv444p10le", 10)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", LUMA)
def test_codes_are_those_of_the_formula(matrix, full, pixel_format, bits):
    exact = colours()
    rgb = np.round(np.repeat(np.repeat(exact, SIDE, 0), SIDE, 1) * 65535).astype(np.uint16)
    picture = to_picture(rgb, pixel_format, matrix=matrix, full_range=full)
    for found, expected in zip(planes_of(picture, bits), codes(exact, matrix, bits, full), strict=True):
        assert np.abs(found - np.clip(expected, 0, 2**bits - 1)).max() <= 1.6


@pytest.mark.parametrize("transfer", ["sdr", "pq", "hlg"])
@pytest.mark.parametrize("full", [False, True])
def test_ten_bits_come_back(full, transfer):
    """There and back changes no code of luma by more than one, whatever the curve."""
    exact = np.clip(colours(), 0.02, 0.98)
    planes = [np.round(plane) for plane in codes(exact, "bt2020", 10, full)]
    how = {"matrix": "bt2020", "full_range": full, "transfer": transfer}
    rgb = to_rgb(picture_of(planes, "yuv444p10le", 10), depth=10, **how)
    back = list(planes_of(to_picture(rgb, "yuv444p10le", **how), 10))
    assert max(np.abs(found - given).max() for found, given in zip(back, planes, strict=True)) <= 1


@pytest.mark.parametrize("pixel_format", ["rgb48le", "gbrp16le", "rgba64le"])
def test_sixteen_bits_of_rgb_are_kept_exactly(pixel_format):
    random = np.random.default_rng(1).integers(0, 65536, (16, 16, 4), dtype=np.uint16)
    given = random if "rgba" in pixel_format else random[..., :3]
    how = {"matrix": "bt709", "full_range": True}
    assert np.array_equal(to_rgb(to_picture(given, pixel_format, **how), depth=16, **how), given[..., :3])


def test_rgb_of_sixteen_bits_is_rounded_to_eight():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, 2)
    rounded = to_picture(levels, "rgb24", matrix="bt709", full_range=True).to_ndarray()
    assert np.array_equal(rounded, np.round(levels / 257).astype(np.uint8))


def test_pq_is_that_of_the_standard():
    """BT.2408: 203 nits, the white of graphics, is 58 % of the signal; 100 nits is 51 %."""
    assert nits_to_pq(np.array([0.0, 100, 203, 1000, 10000])) == pytest.approx([0, 0.508, 0.581, 0.752, 1], abs=1e-3)
    signal = np.linspace(0, 1, 1024)
    assert nits_to_pq(pq_to_nits(signal)) == pytest.approx(signal, abs=1e-6)


def test_proxy_is_reversible_and_like_ordinary_video():
    """No brightness is lost up to 10,000 nits; there is no kink; the white of graphics is not the brightest."""
    nits = np.concatenate([[0], np.geomspace(1e-4, 10_000, 2000)])
    proxy = nits_to_proxy(nits)
    assert (proxy[0], proxy[-1]) == (0, pytest.approx(1))
    assert (np.diff(proxy) > 0).all()
    assert proxy_to_nits(proxy) == pytest.approx(nits, rel=1e-6, abs=1e-9)
    around = nits_to_proxy(KNEE_NITS + np.array([-0.1, 0, 0.1]))
    assert around[1] == pytest.approx(KNEE)
    assert around[2] - around[1] == pytest.approx(around[1] - around[0], rel=0.02)
    assert 0.8 < nits_to_proxy(np.array([203.0]))[0] < 0.9


def test_proxy_of_every_code_of_ten_bits_comes_back_to_a_fiftieth():
    code = np.round(np.linspace(0, 65535, 1024)).astype(np.uint16).reshape(32, 32, 1).repeat(3, 2)
    how = {"matrix": "bt2020", "full_range": True, "transfer": "pq"}
    proxy = to_rgb(to_picture(code, "gbrp16le", **{**how, "transfer": "sdr"}), depth=10, **how)
    assert np.abs(proxy.astype(int) - code).max() > 10_000
    back = to_rgb(to_picture(proxy, "gbrp16le", **how), depth=10, **{**how, "transfer": "sdr"})
    assert np.abs(back.astype(int) - code).max() <= 65535 / 1023 / 50


def test_curves_are_told_by_their_tags():
    assert [transfer_of(tag) for tag in (1, 2, 6, 14, 16, 18)] == ["sdr", "sdr", "sdr", "sdr", "pq", "hlg"]


@pytest.mark.parametrize("pixel_format", ["rgba", "rgba64le", "yuva444p10le"])
def test_transparent_pixels_show_what_is_behind_them(pixel_format):
    """Half of red before blue is half of each; opaque pixels stay, clear ones are the background."""
    depth = 8 if pixel_format == "rgba" else 16 if "64" in pixel_format else 10
    white = 255 if depth == 8 else 65535
    pixels = np.zeros((16, 48, 4), np.uint8 if depth == 8 else np.uint16)
    pixels[..., 0] = white
    for column, share in enumerate((0, white // 2, white)):
        pixels[:, 16 * column : 16 * column + 16, 3] = share
    how = {"matrix": "bt709", "full_range": depth != 10}
    seen = to_rgb(to_picture(pixels, pixel_format, **how), depth=depth, background=(0, 0, 255), **how)
    expected = white * np.array([[0, 0, 1], [0.5, 0, 0.5], [1, 0, 0]])
    assert np.abs(seen[8, 8::16] - expected).max() <= 0.01 * white
