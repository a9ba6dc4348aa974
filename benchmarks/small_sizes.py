"""Whether every encoder writes pictures of every small size: whole, at their size, and close to what they were.

Each codec and pixel format is tried in a process of its own that writes and reads a few frames of every even size from
16 to 80 pixels in both directions. If the process ends, the size it was at is to blame, and another goes on with the
next. Where the C library can check each block that is freed (glibc), it does: an encoder that writes beyond its memory
is then found every time.

Run: python benchmarks/small_sizes.py [--codecs NAME...] [--sizes 16x16...] [--seconds 270] [--output FILE]
It goes on where an earlier run of the same output was stopped; remove the file to begin anew.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.writing.encoders import CODECS, depth_of, holds_alpha, pixel_formats
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing

RESULTS = Path(__file__).parent / "results" / "small_sizes.json"
SIDES = range(16, 81, 2)
SIZES = [f"{width}x{height}" for width in SIDES for height in SIDES]
FRAMES = 6
BLOCK = 4  # pixels a side, over which noise is averaged before pictures are compared
CLOSE = 4.0  # levels of 255 by which such blocks may differ in the mean
CHECKED = "libc_malloc_debug.so.0"  # of glibc 2.34 and later


def kinds() -> list[str]:
    """Return every codec with each opaque pixel format that is chosen for it."""
    opaque = {codec: [name for name in traits.formats if not holds_alpha(name)] for codec, traits in CODECS.items()}
    return [f"{codec} {name}" for codec in CODECS for name in opaque[codec] if name in pixel_formats(codec)]


def fault_of(codec: str, pixel_format: str, width: int, height: int, folder: Path) -> str:
    """Write and read one size, and return what is wrong with it, or nothing."""
    target = folder / f"a{CODECS[codec].suffixes[0]}"
    frames = 1 if codec in ("png", "tiff") else FRAMES
    shown = [_picture(number, width, height, is_deep=depth_of(pixel_format) > 8) for number in range(frames)]
    writing = Writing(width=width, height=height, rate=Fraction(25), codec=codec, pixel_format=pixel_format)
    clip = probe(write_video(target, shown, writing, None))
    back = list(read_frames(clip))
    if [frame.shape for frame in back] != [frame.shape for frame in shown]:
        return f"{len(back)} frames of {clip.width}x{clip.height}"
    pairs = zip(back, shown, strict=True)
    off = max(float(np.abs(_blocks(one) - _blocks(other)).mean()) for one, other in pairs)
    left = [path.name for path in folder.iterdir() if path != target]
    return f"off by {off:.2f}" if off > CLOSE else " ".join(left)


def _picture(number: int, width: int, height: int, *, is_deep: bool) -> np.ndarray:
    """Return a moving slope under grey noise, which makes encoders work."""
    y, x = np.mgrid[0:height, 0:width]
    slope = np.stack([60 + 100 * (x + 2 * number) / (width + 2 * FRAMES), 60 + 120 * y / height, 100 + 0 * x], -1)
    noise = np.random.default_rng(number).integers(-8, 9, (height, width, 1))
    return (slope + noise).astype(np.uint16) * 257 if is_deep else (slope + noise).astype(np.uint8)


def _blocks(frame: np.ndarray) -> np.ndarray:
    """Return the means of blocks, in levels of 255."""
    height, width = (side // BLOCK for side in frame.shape[:2])
    blocks = frame[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK, 3)
    return blocks.mean((1, 3)) / (1 if frame.dtype == np.uint8 else 257)


def child(kind: str) -> None:
    """Try the sizes that come in, a line each, and answer each in a line."""
    for line in sys.stdin:
        width, height = map(int, line.split("x"))
        with TemporaryDirectory() as folder:
            try:
                fault = fault_of(*kind.split(), width, height, Path(folder))
            except Exception as error:
                fault = f"{type(error).__name__}: {error}"
        print(json.dumps(fault), flush=True)


def sweep(kind: str, sizes: list[str], until: float) -> dict[str, str]:
    """Return what is wrong with each size that was tried until a moment; nothing if all is well."""
    checks = {"LD_PRELOAD": CHECKED, "MALLOC_CHECK_": "3"} if _checks_memory() else {}
    environment = {**os.environ, **checks}
    command, found = [sys.executable, __file__, "--child", kind], dict[str, str]()
    while len(found) < len(sizes) and time.monotonic() < until:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            for size in sizes[len(found) :]:
                if time.monotonic() >= until:
                    break
                try:
                    print(size, file=process.stdin, flush=True)
                    answer = process.stdout.readline()
                except BrokenPipeError:
                    answer = ""
                found[size] = json.loads(answer) if answer else f"ends the process with {process.wait()}"
                if not answer:
                    break
            process.kill()
    return found


def _checks_memory() -> bool:
    return any((folder / CHECKED).exists() for folder in (Path("/lib64"), *Path("/lib").glob("*-linux-gnu")))


def main() -> None:
    """Run as asked; the code is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codecs", nargs="*", help="only these")
    parser.add_argument("--sizes", nargs="*", default=SIZES, help="only these, as WIDTHxHEIGHT")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="when to stop; a later run goes on")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file to write")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    until = time.monotonic() + arguments.seconds
    known = json.loads(arguments.output.read_text())["kinds"] if arguments.output.exists() else {}
    wanted = [kind for kind in kinds() if arguments.codecs is None or kind.split()[0] in arguments.codecs]
    for kind in wanted:
        before = known.get(kind, {"tried": 0, "faults": {}})
        found = sweep(kind, arguments.sizes[before["tried"] :], until)
        faults = before["faults"] | {size: fault for size, fault in found.items() if fault}
        known[kind] = {"tried": before["tried"] + len(found), "faults": faults}
    figures = {
        "command": "python benchmarks/small_sizes.py",
        "av": av.__version__,
        "frames": FRAMES,
        "sizes": len(arguments.sizes),
        "memory_is_checked": _checks_memory(),
        "kinds": known,
    }
    arguments.output.write_text(json.dumps(figures, indent=1) + "\n")
    for kind in wanted:
        print(kind, known[kind]["tried"], known[kind]["faults"] or "")
    sys.exit(any(known[kind]["faults"] for kind in wanted))


if __name__ == "__main__":
    main()
