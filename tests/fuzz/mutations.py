"""What befalls the bytes of a file: by accident, or on purpose. A mutation is a function of bytes and a generator."""

from collections.abc import Callable

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
TAGS = (  # where sizes, counts, rates and offsets stand, in all the containers
    b"ftyp moov mvhd tkhd elst mdhd hdlr dref stsd stts ctts stss stsc stsz stco co64 trun tfhd tfdt moof mdat avcC "
    b"hvcC colr pasp RIFF avih strh strf strl idx1 movi 00dc GIF8 IHDR IDAT acTL fcTL fdAT WEBP VP8L VP8X ANIM II*\0 BM"
)
ELEMENTS = "1a45dfa3 18538067 1549a966 1654ae6b ae b0 ba 1f43b675 a3 1c53bb6b 4489 2ad7b1"  # of Matroska
MARKS = (
    *TAGS.split(),
    *(bytes.fromhex(element) for element in ELEMENTS.split()),
    b"\x00\x00\x01",  # units of MPEG streams
    b"\x47\x40",  # packets of transport streams
    b"\xff\xc0",
    b"\xff\xda",
)


def flip_bits(content: bytes, draw: np.random.Generator) -> bytes:
    """Turn over one to thirty bits anywhere."""
    changed = bytearray(content)
    for _ in range(draw.integers(1, 31)):
        changed[draw.integers(len(changed))] ^= 1 << draw.integers(8)
    return bytes(changed)


def flip_head(content: bytes, draw: np.random.Generator) -> bytes:
    """Turn over one to ten bits near the beginning."""
    changed = bytearray(content)
    for _ in range(draw.integers(1, 11)):
        changed[draw.integers(min(len(changed), 1024))] ^= 1 << draw.integers(8)
    return bytes(changed)


def cut_short(content: bytes, draw: np.random.Generator) -> bytes:
    """Leave the end away."""
    return content[: draw.integers(0, len(content))]


def zero_range(content: bytes, draw: np.random.Generator) -> bytes:
    """Write zeros over a stretch, as disks do."""
    start, stop = _range(content, draw)
    return content[:start] + bytes(stop - start) + content[stop:]


def noise_range(content: bytes, draw: np.random.Generator) -> bytes:
    """Write noise over a stretch."""
    start, stop = _range(content, draw)
    return content[:start] + draw.bytes(stop - start) + content[stop:]


def remove_range(content: bytes, draw: np.random.Generator) -> bytes:
    """Leave a stretch away."""
    start, stop = _range(content, draw)
    return content[:start] + content[stop:]


def repeat_range(content: bytes, draw: np.random.Generator) -> bytes:
    """Put a stretch in up to twenty times."""
    start, stop = _range(content, draw)
    return content[:stop] + content[start:stop] * int(draw.integers(1, 20)) + content[stop:]


def exchange_ranges(content: bytes, draw: np.random.Generator) -> bytes:
    """Exchange two stretches."""
    a, b, c = sorted(int(place) for place in draw.integers(0, len(content) + 1, 3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def extreme_field(content: bytes, draw: np.random.Generator) -> bytes:
    """Set one to three fields of headers to the largest, smallest or oddest value there is."""
    changed = bytearray(content)
    for _ in range(draw.integers(1, 4)):
        place = _mark(content, draw) + int(draw.integers(-4, 40))
        _write(changed, place, int(draw.choice([1, 2, 4, 8])), _extreme(draw), draw)
    return bytes(changed)


def size_of_box(content: bytes, draw: np.random.Generator) -> bytes:
    """Make the length before or after a tag wrong: none, one less, one more, twice, huge."""
    changed = bytearray(content)
    mark = _mark(content, draw)
    place = mark + int(draw.choice([-4, 1, 2, 3, 4]))
    size = int.from_bytes(content[max(0, place) : max(0, place) + 4], "big")
    _write(changed, place, 4, int(draw.choice([0, 1, size - 1, size + 1, 2 * size, size // 2, 2**31 - 1])), draw)
    return bytes(changed)


def anything_after(content: bytes, draw: np.random.Generator) -> bytes:
    """Add noise, zeros or the file itself to the end."""
    return content + [draw.bytes(4096), bytes(4096), content][int(draw.integers(3))]


def _range(content: bytes, draw: np.random.Generator) -> tuple[int, int]:
    length = int(min(len(content), 2 ** draw.uniform(0, np.log2(len(content)))))
    start = int(draw.integers(0, len(content) - length + 1))
    return start, start + length


def _mark(content: bytes, draw: np.random.Generator) -> int:
    """Return where one of the tags in the file stands, each tag as likely as another."""
    found = [places for mark in MARKS if (places := _all(content, mark))]
    if not found:
        return int(draw.integers(len(content)))
    kind = found[int(draw.integers(len(found)))]
    return kind[int(draw.integers(len(kind)))]


def _all(content: bytes, mark: bytes) -> list[int]:
    places, place = [], content.find(mark)
    while place >= 0 and len(places) < 200:
        places.append(place)
        place = content.find(mark, place + 1)
    return places


def _extreme(draw: np.random.Generator) -> int:
    return EXTREMES[int(draw.integers(len(EXTREMES)))]


def _write(content: bytearray, place: int, width: int, value: int, draw: np.random.Generator) -> None:
    order = "big" if draw.integers(2) else "little"
    place = min(max(0, place), max(0, len(content) - width))
    content[place : place + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, order)


MUTATIONS: dict[str, Mutation] = {
    made.__name__: made
    for made in (
        flip_bits,
        flip_head,
        cut_short,
        zero_range,
        noise_range,
        remove_range,
        repeat_range,
        exchange_ranges,
        extreme_field,
        size_of_box,
        anything_after,
    )
}


def mutate(content: bytes, kind: str, seed: int, number: int) -> bytes:
    """Return the bytes of case `number` of a run: the same for the same arguments, everywhere."""
    draw = np.random.default_rng([seed, number])
    changed = MUTATIONS[kind](content, draw)
    return MUTATIONS["extreme_field"](changed, draw) if changed and draw.uniform() < 0.25 else changed
