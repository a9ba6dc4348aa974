"""Fetch and prepare the footage the embedded model is trained on.

    python recipes/footage.py [--folder data/footage] [--only bunny generated photographs parallax stills]

Everything comes out of published packages, by name and version; nothing of it is part of this project. `bunny` is the
film Big Buck Bunny, `generated` short AI-generated clips, `photographs` camera moves over still photographs, whose
every in-between frame is exact, `parallax` such moves with a piece of another photograph passing in front, `stills`
photographs at half their size and photographed materials, each a clip of one frame. The folder
then holds one `clip_XXXXX.npy` a clip (frames, height, width, RGB; eight bits; can be memory-mapped) and
`manifest.jsonl`, one line a clip. A source already listed there is left alone.

What is held out of training is marked so in the manifest: of the film, every shot that touches the minute from 480 s to
540 s, and the scene after the credits.
"""

import argparse
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation
from jaxtyping import UInt8
from PIL import Image, ImageSequence

from venhancer.evaluation.package_files import fetch_debian, fetch_python, find_file, unpack
from venhancer.media.reading.shots import find_cuts, measure_changes
from venhancer.training.data.batches import detail
from venhancer.training.data.camera import move_camera
from venhancer.training.data.manifest import MANIFEST, ClipEntry, read_manifest, write_manifest

Frames = UInt8[np.ndarray, "f h w 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A published package and the licence its contents state."""

    requirement: str
    licence: str


# source, package, version, licence --------------------------------------------------------------------------------
BUNNY = Package(requirement="moviepy==2.2.1", licence="CC-BY-3.0 (c) Blender Foundation")
GENERATED = [
    Package(requirement=f"comfyui-workflow-templates-media-{part}", licence="MIT")
    for part in (
        "video==0.3.101",
        "assets-01==0.1.48",
        "assets-02==0.1.24",
        "api==0.3.84",
        "image==0.3.160",
        "other==0.3.229",
    )
]
PROMPTS = Package(requirement="comfyui-workflow-templates-json==0.1.123", licence="MIT")
PHOTOGRAPHS = {  # the photographs of each package, chosen by eye: the rest are drawings and renderings
    Package(requirement="plasma-workspace-wallpapers=4:5.27.5-2", licence="GPL-2+"): [
        f"wallpapers/{name}/contents/images/2560x1600.jpg"
        for name in (
            "BytheWater",
            "ColdRipple",
            "ColorfulCups",
            "DarkestHour",
            "EveningGlow",
            "FallenLeaf",
            "Grey",
            "Kite",
            "OneStandsOut",
            "Path",
            "summer_1am",
        )
    ],
    Package(requirement="mate-backgrounds=1.26.0-1", licence="GPL-2+"): [
        f"nature/{name}.jpg"
        for name in (
            "Aqua",
            "Blinds",
            "Dune",
            "FreshFlower",
            "Garden",
            "GreenMeadow",
            "LadyBird",
            "RainDrops",
            "Storm",
            "TwoWings",
            "Wood",
            "YellowFlower",
        )
    ],
    Package(requirement="lomiri-wallpapers-16.04=20.04.0-2", licence="CC-BY-4.0 / CC-BY-SA-3.0 / CC-BY-SA-4.0 / CC0"): [
        f"*/{name}_by_*.jpg"
        for name in (
            "Bridge",
            "Dragonfly",
            "Picture_0B",
            "Picture_1A",
            "Wine",
            "aitzgorri",
            "free",
            "friends",
            "greentock",
            "life",
            "picosdeeuropa",
            "seeding",
            "sunset",
        )
    ],
    Package(requirement="lomiri-wallpapers-20.04=20.04.0-2", licence="CC-BY-4.0 / CC-BY-SA-3.0 / CC-BY-SA-4.0 / CC0"): [
        "*/Kleiber_by_*.jpg"
    ],
}
MATERIALS = Package(requirement="ufoai-textures=2.5-2", licence="GPL-2+, some CC-BY-3.0 and CC-BY-SA-3.0")
# ------------------------------------------------------------------------------------------------------------------

SHORTEST, LONGEST = 17, 120
"""Frames of a prepared clip."""

STILL = 0.4
"""A clip whose luma changes by less than this from frame to frame (mean, of 255) is left out."""

DARK = 12
"""So is one whose mean value is below this."""

BUNNY_SIZE = (640, 360)
BUNNY_HELD_OUT = ((480.0, 540.0), (580.5, 600.0))
BUNNY_WRITING = ((0.0, 2.0), (20.4, 23.8), (25.0, 30.4), (489.8, 580.5))
"""Fade-in, titles and credits, in seconds."""

GENERATED_BORDER, GENERATED_BADGE = 12, 48
"""Pixels cut off at every side, and at the top, where the makers put their names."""

GENERATED_STILL_SHARE = 0.3
"""A clip of whose pixels a larger share never changes is a moving picture pasted on a page, and left out."""
GENERATED_LEFT_OUT = re.compile(
    "edit|remove|replace|enhance|upscale|restor|depth|pose|canny|mask|segment|interpol|compare|3d|meshy|tripo|rodin"
)
"""Kinds whose pictures are side-by-sides, low-quality inputs, edge maps or turntables."""

CAPTION_LENGTH = 300
NO_DESCRIPTION = re.compile(
    r"watermark|subtitles|worst quality|low quality|\bimage \d|reference|[#@\[]|https?:", re.IGNORECASE
)

PHOTOGRAPH_CLIPS, PARALLAX_CLIPS, PHOTOGRAPH_RATE = 4, 3, 24

MATERIAL_SIDE, MATERIAL_DETAIL = 512, 3.0
"""The least side of a material, and how much neighbouring pixels differ in it, in levels."""
MATERIAL_LEFT_OUT = re.compile(r"_(nm|gm|sm|rm)\.|tex_ufo|tex_trak|tex_lights|tex_common")
"""Maps of normals and gloss, and folders of drawings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One clip to be written, with what its line of the manifest says."""

    source: str
    licence: str
    rate: int | Fraction
    frames: Frames
    caption: str = ""
    split: str = "train"


def main() -> None:
    """Prepare the sources requested, one after the other."""
    sources: dict[str, Callable[[Path], Iterator[Clip]]] = {
        "bunny": bunny,
        "generated": generated,
        "photographs": photographs,
        "parallax": parallax,
        "stills": stills,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("data/footage"), help="where the clips go")
    parser.add_argument("--packages", type=Path, default=Path("data/packages"), help="where packages are kept")
    parser.add_argument("--only", nargs="+", choices=sources, default=list(sources), help="sources to prepare")
    arguments = parser.parse_args()
    for name in arguments.only:
        write_clips(arguments.folder, name, sources[name](arguments.packages))


def write_clips(folder: Path, name: str, clips: Iterable[Clip]) -> None:
    """Add the clips of a source to a folder; its lines reach the manifest together, when all are there."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / MANIFEST
    present = read_manifest(manifest) if manifest.exists() else []
    if any(entry.source.startswith(f"{name}:") for entry in present):
        print(f"{name}: already in {manifest}")
        return
    added = []
    for number, clip in enumerate(clips, start=len(present)):
        file = f"clip_{number:05d}.npy"
        np.save(folder / file, clip.frames)
        frames, height, width, _ = clip.frames.shape
        added.append(
            ClipEntry(
                path=file,
                frames=frames,
                rate=clip.rate,
                width=width,
                height=height,
                caption=clip.caption,
                licence=clip.licence,
                split=clip.split,
                source=f"{name}:{clip.source}",
            )
        )
    write_manifest(manifest, [*present, *added])
    print(f"{name}: {len(added)} clips, {sum(entry.frames for entry in added)} frames")


def bunny(packages: Path) -> Iterator[Clip]:
    """Yield the moving shots of the film at half its stored size, in pieces of at most `LONGEST` frames."""
    outer = unpack(fetch_python(BUNNY.requirement, packages, source=True), packages / "moviepy")
    film = find_file(unpack(find_file(outer, "moviepy_10_minutes.zip"), packages / "bunny"), "bbb.mp4")
    rate = 24
    luma = np.stack([frame.to_ndarray() for frame in decode(film, (160, 90), "gray")])
    edges = sorted({0, len(luma), *cuts_of(luma), *(round(second * rate) for span in BUNNY_WRITING for second in span)})
    pieces = {}
    for start, stop in pairwise(edges):
        seconds = (start / rate, stop / rate)
        if stop > len(luma) or any(overlap(seconds, span) for span in BUNNY_WRITING):
            continue
        held_out = any(overlap(seconds, span) for span in BUNNY_HELD_OUT)
        for first, last in split_evenly(start, stop):
            if is_moving(luma[first:last]):
                pieces[first] = (last, "held_out" if held_out else "train")
    shot: list[np.ndarray] = []
    start, (stop, split) = 0, (0, "")
    for number, frame in enumerate(decode(film, BUNNY_SIZE, "rgb24")):
        if number in pieces:
            start, (stop, split) = number, pieces[number]
        if number < stop:
            shot.append(frame.to_ndarray())
        if number == stop - 1:
            place = f"big_buck_bunny at {start / rate:.2f} s"
            yield Clip(source=place, licence=BUNNY.licence, rate=rate, frames=np.stack(shot), split=split)
            shot = []


def generated(packages: Path) -> Iterator[Clip]:
    """Yield the AI-generated clips that move, have no cut and are no edit or comparison, without their borders."""
    unpack(fetch_python(PROMPTS.requirement, packages), packages / "prompts")
    for package in GENERATED:
        folder = unpack(fetch_python(package.requirement, packages), packages / package.requirement.split("==")[0])
        for path in sorted(folder.rglob("*.webp")):
            picture = Image.open(path)
            if getattr(picture, "n_frames", 1) < SHORTEST or GENERATED_LEFT_OUT.search(path.stem.lower()):
                continue
            border = GENERATED_BORDER
            box = (border, GENERATED_BADGE, picture.width - border, picture.height - border)
            frames = np.stack([np.asarray(frame.convert("RGB").crop(box)) for frame in ImageSequence.Iterator(picture)])
            luma = np.stack(
                [
                    np.asarray(Image.fromarray(frame).convert("L").resize((96, 96), Image.Resampling.BOX))
                    for frame in frames
                ]
            )
            still = np.ptp(luma, axis=0) <= 4
            if cuts_of(luma) or not is_moving(luma) or still.mean() > GENERATED_STILL_SHARE:
                continue
            caption = read_prompt(packages / "prompts", path.stem)
            rate = round(1000 / picture.info["duration"])
            for first, last in split_evenly(0, len(frames)):
                part = frames[first:last]
                yield Clip(source=path.stem, licence=package.licence, rate=rate, frames=part, caption=caption)


def photographs(packages: Path) -> Iterator[Clip]:
    """Yield camera moves over photographs."""
    for name, path, package in find_photographs(packages):
        picture = Image.open(path).convert("RGB")
        for number in range(PHOTOGRAPH_CLIPS):
            frames = move_camera(picture, np.random.default_rng([zlib.crc32(name.encode()), number]))
            yield Clip(source=name, licence=package.licence, rate=PHOTOGRAPH_RATE, frames=frames)


def parallax(packages: Path) -> Iterator[Clip]:
    """Yield camera moves over photographs behind a piece of the next photograph of the same package."""
    found = list(find_photographs(packages))
    for name, path, package in found:
        others = [other for _, other, its_package in found if its_package == package]
        front = Image.open(others[(others.index(path) + 1) % len(others)]).convert("RGB")
        picture = Image.open(path).convert("RGB")
        for number in range(PARALLAX_CLIPS):
            generator = np.random.default_rng([zlib.crc32(name.encode()), PHOTOGRAPH_CLIPS + number])
            frames = move_camera(picture, generator, front=front)
            yield Clip(source=name, licence=package.licence, rate=PHOTOGRAPH_RATE, frames=frames)


def stills(packages: Path) -> Iterator[Clip]:
    """Yield photographs at half their size, and materials as they are, where they have detail."""
    for name, path, package in find_photographs(packages):
        picture = Image.open(path).convert("RGB")
        frame = np.asarray(picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX))
        yield Clip(source=name, licence=package.licence, rate=PHOTOGRAPH_RATE, frames=frame[None])
    folder = unpack(fetch_debian(MATERIALS.requirement, packages), packages / "ufoai-textures")
    with zipfile.ZipFile(find_file(folder, "0textures.pk3")) as materials:
        for name in sorted(materials.namelist()):
            if not name.endswith((".png", ".jpg", ".tga")) or MATERIAL_LEFT_OUT.search(name):
                continue
            picture = Image.open(io.BytesIO(materials.read(name)))
            if min(picture.size) < MATERIAL_SIDE or picture.mode != "RGB":
                continue
            frame = np.asarray(picture)
            if detail(frame[None]) >= MATERIAL_DETAIL:
                yield Clip(source=name, licence=MATERIALS.licence, rate=PHOTOGRAPH_RATE, frames=frame[None])


def find_photographs(packages: Path) -> Iterator[tuple[str, Path, Package]]:
    """Yield the name, the file and the package of every photograph."""
    for package, patterns in PHOTOGRAPHS.items():
        folder = unpack(fetch_debian(package.requirement, packages), packages / package.requirement.split("=")[0])
        for pattern in patterns:
            path = find_file(folder, pattern)
            yield str(path.relative_to(folder / "usr" / "share")), path, package


def decode(path: Path, size: tuple[int, int], pixel_format: str) -> Iterator[av.VideoFrame]:
    """Yield the frames of a BT.709 video, averaged over areas down to a smaller size."""
    with av.open(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            yield frame.reformat(
                *size, format=pixel_format, src_colorspace=Colorspace.ITU709, interpolation=Interpolation.AREA
            )


def cuts_of(luma: UInt8[np.ndarray, "f h w"]) -> list[int]:
    """Return the first frame of every shot after the first."""
    return list(find_cuts(measure_changes(luma)))


def is_moving(luma: UInt8[np.ndarray, "f h w"]) -> bool:
    """Return whether a piece is long enough, not black and not nearly static."""
    if len(luma) < SHORTEST or luma.mean() < DARK:
        return False
    return float(np.abs(np.diff(luma.astype(np.int16), axis=0)).mean()) >= STILL


def split_evenly(start: int, stop: int) -> list[tuple[int, int]]:
    """Return the fewest pieces of nearly equal length, none over `LONGEST` frames."""
    edges = np.linspace(start, stop, -(-(stop - start) // LONGEST) + 1).round().astype(int).tolist()
    return list(pairwise(edges))


def overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Return whether two spans of time share more than an instant."""
    return max(a[0], b[0]) < min(a[1], b[1]) - 1e-6


def read_prompt(folder: Path, stem: str) -> str:
    """Return the beginning of the longest prompt of the workflow a clip illustrates, or nothing if it has none."""
    workflows = list(folder.rglob(re.sub(r"-\d+$", "", stem) + ".json"))
    if not workflows:
        return ""
    workflow = json.loads(workflows[0].read_text())
    groups = [workflow, *workflow.get("definitions", {}).get("subgraphs", [])]
    texts = [" ".join(text.split()) for group in groups for node in group["nodes"] for text in texts_of(node)]
    prompt = max(filter(is_description, texts), key=len, default="")
    whole_sentences = prompt[:CAPTION_LENGTH].rpartition(". ")[0]
    return prompt if len(prompt) <= CAPTION_LENGTH else f"{whole_sentences}." if whole_sentences else ""


def is_description(text: str) -> bool:
    """Return whether a text reads as a picture described in English, not a list of faults, an order or a table."""
    letters = sum(character.isalpha() or character == " " for character in text)
    return text.isascii() and text.count(" ") > 6 and letters > 0.9 * len(text) and not NO_DESCRIPTION.search(text)


def texts_of(node: dict) -> Sequence[str]:
    """Return the texts typed into a node of a workflow, negative prompts and notes left out."""
    kind, title = str(node.get("type")), str(node.get("title")).lower()
    if "Note" in kind or "negative" in title:
        return []
    values = node.get("widgets_values") or []
    typed = [value for value in (values.values() if isinstance(values, dict) else values) if isinstance(value, str)]
    return typed[:1] if "VideoNode" in kind or "Encode" in kind else typed


if __name__ == "__main__":
    main()
