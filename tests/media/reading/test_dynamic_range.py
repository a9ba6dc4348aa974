"""Dolby Vision that has no base is refused; all other notes on light are named as lost."""

import re
import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest

from media.clips import make_clip, picture
from venhancer.errors import InputError
from venhancer.media.reading.probe import probe

HEVC = {"codec": "libx265", "pixel_format": "yuv420p10le", "frames": 4}
TITLE = "Name of a track, as long as a note"
PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hev1")
SLICES = (b"\0\0\1\x26", b"\0\0\1\x28")  # that begin a key frame of HEVC


def record(profile: int, compatible: int) -> bytes:
    """Return Dolby Vision's configuration record of level 6, with notes and a base (ETSI TS 103 572, 4)."""
    return bytes([1, 0, profile << 1, 6 << 3 | 5, compatible << 4]) + bytes(19)


def in_mp4(path: Path, noted: bytes, kind: bytes = b"dvcC") -> Path:
    data = bytearray(make_clip(path, **HEVC).read_bytes())
    place, box = 0, struct.pack(">I4s", 8 + len(noted), kind) + noted
    for name in PARENTS:
        while data[place + 4 : place + 8] != name:
            place += struct.unpack_from(">I", data, place)[0]
        (size,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, size + len(box))
        end, place = place + size, place + (16 if name == b"stsd" else 8)
    data[end:end] = box
    path.write_bytes(data)
    return path


def in_matroska(path: Path, noted: bytes) -> Path:
    """Write the record in place of the track's name, which is as long."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx265", rate=24, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.metadata["title"] = TITLE
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    name = b"\x53\x6e" + bytes([0x80 | len(TITLE)]) + TITLE.encode()
    mapping = b"\x41\xe7\x84dvcC\x41\xed\x98" + noted
    path.write_bytes(path.read_bytes().replace(name, b"\x41\xe4" + bytes([0x80 | len(mapping)]) + mapping))
    return path


def bits(*fields: tuple[int, int]) -> bytes:
    """Return values of so many bits each, one after the other."""
    text = "".join(f"{value:0{width}b}" for value, width in fields)
    return int(text.ljust(-len(text) % 8 + len(text), "0"), 2).to_bytes((len(text) + 7) // 8, "big")


def with_notes(path: Path, notes: bytes) -> Path:
    """Write HEVC with a note of ITU-T T.35 before the slices of each key frame."""
    message = re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", bytes([4, len(notes)]) + notes + b"\x80")
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx265", rate=24, options={"x265-params": "log-level=none:bframes=0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        packets = []
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            content = bytes(packet)
            for slice_ in SLICES:
                content = content.replace(slice_, b"\0\0\1\x4e\1" + message + slice_)
            noted = av.Packet(content)
            noted.pts, noted.dts, noted.time_base, noted.stream = packet.pts, packet.pts, packet.time_base, stream
            noted.is_keyframe = packet.is_keyframe
            output.mux(noted)
    return path


@pytest.mark.parametrize(("profile", "kind"), [(5, b"dvcC"), (10, b"dvvC"), (20, b"dvwC")])
def test_dolby_vision_without_a_base_is_refused(tmp_path, profile, kind):
    with pytest.raises(InputError, match=f"Dolby Vision profile {profile}, whose colours only") as refused:
        probe(in_mp4(tmp_path / "a.mp4", record(profile, 0), kind))
    assert "\n" not in str(refused.value)


def test_dolby_vision_without_a_base_is_refused_in_matroska(tmp_path):
    with pytest.raises(InputError, match="Dolby Vision profile 5"):
        probe(in_matroska(tmp_path / "a.mkv", record(5, 0)))


@pytest.mark.parametrize(("profile", "compatible"), [(7, 6), (8, 1), (8, 2), (8, 4), (7, 0), (10, 1)])
def test_base_of_dolby_vision_is_kept_and_the_loss_named(tmp_path, profile, compatible):
    clip = probe(in_mp4(tmp_path / "a.mp4", record(profile, compatible), b"dvvC" if profile > 7 else b"dvcC"))
    assert clip.not_kept == (f"Dolby Vision profile {profile}; the base pictures are kept",)
    assert probe(in_matroska(tmp_path / "a.mkv", record(8, 1))).not_kept[0].startswith("Dolby Vision profile 8")


LIGHT = ((1, 8), (1, 2), (1000, 27), (0, 1), (100, 51), (50, 17), (0, 4), (0, 13))  # SMPTE ST 2094-40, one window
NOTES = {
    "HDR10+": bits((0xB5, 8), (0x3C, 16), (1, 16), (4, 8), *LIGHT),
    "HDR Vivid": bits((0x26, 8), (4, 16), (5, 16), (1, 8), (0, 12), (2000, 12), (100, 12), (3000, 12), (0, 2)),
}


def test_views_all_around_and_in_pairs_are_named_as_lost(tmp_path):
    """Players show the result flat, or both views side by side (Spherical Video V2)."""
    projection = struct.pack(">I4sIiii", 24, b"prhd", 0, 0, 0, 0) + struct.pack(">I4s5I", 28, b"equi", 0, 0, 0, 0, 0)
    spherical = struct.pack(">I4sI2s", 14, b"svhd", 0, b"m") + struct.pack(">I4s", 60, b"proj") + projection
    clip = probe(in_mp4(tmp_path / "a.mp4", spherical, b"sv3d"))
    assert clip.not_kept == ("360-degree view data",)
    clip = probe(in_mp4(tmp_path / "b.mp4", struct.pack(">IB", 0, 1), b"st3d"))
    assert clip.not_kept == ("stereo 3D data",)


@pytest.mark.parametrize(("words", "notes"), NOTES.items())
def test_notes_of_each_scene_are_named_as_lost(tmp_path, words, notes):
    assert probe(with_notes(tmp_path / "a.ts", notes)).not_kept == (f"{words} scene data",)
