"""How fast clips are read and made into training examples on one core, by how they are kept.

    python benchmarks/data_loading.py [--data data/footage] [--clips 24]

Some clips of a manifest of arrays (see `recipes/footage.py`) are kept in every way there is: arrays, H.264 (crf 17, a
key frame every 48 frames or so), and either in tar shards. Each is then drawn from as a run would, in random order. Two
sizes: that of the embedded model, and the paper's (clips enlarged to 1280x720, so they are blurrier than real footage
and decode a little faster).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter

from venhancer.training.data.batches import Batches
from venhancer.training.data.clips import open_array, read_draw
from venhancer.training.data.manifest import MANIFEST, ClipEntry, find_manifest, read_manifest, write_manifest
from venhancer.training.data.shards import pack
from venhancer.training.data.stretches import find_stretches
from venhancer.training.settings import IndexSettings, TrainSettings

RESULTS = Path(__file__).parent / "results" / "data_loading.json"
SIZES = {"nano": ((136, 128), 9, 1), "paper": ((720, 1280), 16, 2)}
"""Crop, frames, and how many times clips are enlarged."""

WHOLE = IndexSettings(whole_files=True, shortest=1, smallest=1, darkest=0, stillest=0)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/footage"))
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=8.0, help="time for each figure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    manifest = find_manifest(arguments.data)
    entries = [entry for entry in read_manifest(manifest, "train") if (entry.width, entry.height) == (640, 360)]
    long = [entry for entry in entries if entry.frames >= 48][: arguments.clips]
    results = {}
    for name, (crop, frames, enlarged) in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            kinds = prepare(long, manifest.parent, Path(folder), enlarged)
            results[name] = {kind: measure(where, crop, frames, arguments.seconds) for kind, where in kinds.items()} | {
                "crop": crop,
                "frames": frames,
            }
            print(json.dumps({name: results[name]}))
    result = {"torch": torch.__version__, "av": av.__version__, "threads": 1, "clips": len(long), "sizes": results}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def prepare(entries: list[ClipEntry], source: Path, folder: Path, enlarged: int) -> dict[str, Path]:
    """Write the clips in every way and return the manifests by kind."""
    arrays, videos = [], []
    for number, entry in enumerate(entries):
        frames = np.stack(list(enlarge(open_array(entry, source)[:48], enlarged)))
        np.save(folder / f"{number:03d}.npy", frames)
        size = {"frames": len(frames), "width": frames.shape[2], "height": frames.shape[1]}
        arrays.append(ClipEntry(path=f"{number:03d}.npy", rate=entry.rate, **size))
        write_mp4(folder / f"{number:03d}.mp4", frames)
        videos.extend(
            clip.model_copy(update={"path": f"{number:03d}.mp4"})
            for clip in find_stretches(folder / f"{number:03d}.mp4", WHOLE).clips
        )
    kinds = {"npy": arrays, "mp4": videos}
    kinds |= {f"tar of {kind}": list(pack(clips, folder, kind, 500)) for kind, clips in list(kinds.items())}
    manifests = {}
    for kind, clips in kinds.items():
        manifests[kind] = folder / f"{kind.replace(' ', '_')}_{MANIFEST}"
        write_manifest(manifests[kind], clips)
    return manifests


def enlarge(frames: np.ndarray, times: int) -> Iterator[np.ndarray]:
    """Yield frames at a multiple of their size."""
    reformatter = VideoReformatter()
    for frame in frames:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        width, height = picture.width * times, picture.height * times
        yield reformatter.reformat(picture, width, height, interpolation=Interpolation.BICUBIC).to_ndarray()


def write_mp4(path: Path, frames: np.ndarray) -> None:
    """Write H.264 at crf 17."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=Fraction(24), options={"crf": "17", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode(None))


def measure(manifest: Path, crop: tuple[int, int], frames: int, seconds: float) -> dict[str, float]:
    """Return clips a second: pixels only, and made into examples."""
    recipe = {"output": manifest.parent / "run", "data": manifest, "crop": crop, "frames": frames, "steps": 10**6}
    batches = Batches(TrainSettings.model_validate(recipe | {"train": "all"}))
    generator = torch.Generator().manual_seed(0)

    def read(_: int) -> None:
        drawn = batches.draws.draw(frames, (), generator)
        assert drawn is not None
        read_draw(replace(drawn[1], mirrored=False), batches.folder)

    return {
        "clips_read_per_second": rate(read, seconds),
        "examples_made_per_second": rate(lambda step: batches.group(step, 0), seconds),
    }


def rate(work, seconds: float) -> float:
    """Return how many times a second some work is done, the first few left out."""
    for number in range(3):
        work(number)
    started, count = time.process_time(), 0
    while time.process_time() - started < seconds:
        work(count)
        count += 1
    return round(count / (time.process_time() - started), 2)


if __name__ == "__main__":
    main()
