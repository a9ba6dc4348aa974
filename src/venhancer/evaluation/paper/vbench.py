"""VBench (Huang et al. 2024): its dimensions, how they make two totals, and its own package run as a program.

The package lives in an environment of its own; nothing of it is imported here. Every dimension is one run, kept when it
is finished, so that a kill loses one at most.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from venhancer.durable import write_whole
from venhancer.errors import InputError, JobFailed
from venhancer.evaluation.metrics.vbench import run_vbench
from venhancer.fleet.folders import VIDEOS
from venhancer.media.source import failures_as

QUALITY, SEMANTIC, TOTAL = "Quality", "Semantic", "Total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One of the sixteen.

    Args:
        name: VBench's own.
        title: the paper's.
        least: of its values, which counts as 0.
        greatest: of its values, which counts as 1.
        weight: in its total.
        prompts: how many of the suite it is measured on.
        of_video: what a video's own score is multiplied with to be on the scale of the dimension.
        own: the metric of this package that measures the same; empty if there is none.
    """

    name: str
    title: str
    least: float
    greatest: float
    weight: float
    prompts: int
    of_video: float = 1.0
    own: str = ""

    def normal(self, score: float) -> float:
        """Return a score as a share of the way from least to greatest."""
        return (score - self.least) / (self.greatest - self.least)


@dataclass(frozen=True, slots=True)
class DimensionScore:
    """A dimension's score over all videos, 0 to 1, and that of each video, if they are known."""

    mean: float
    by_video: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Suite:
    """A folder in VBench's naming.

    Args:
        videos: the files of each prompt, in order.
        strays: names that have another form.
    """

    videos: Mapping[str, tuple[Path, ...]]
    strays: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """All videos, by prompt and number."""
        return [file for prompt in sorted(self.videos) for file in self.videos[prompt]]


@cache
def dimensions() -> Mapping[str, Mapping[str, Dimension]]:
    """Return the dimensions by name, under "quality" and "semantic", in the order of the paper."""
    content = _constants()
    return {
        group: {name: Dimension(name=name, **values) for name, values in content[group].items()}
        for group in ("quality", "semantic")
    }


def all_dimensions() -> dict[str, Dimension]:
    """Return the sixteen by name."""
    return {name: one for group in dimensions().values() for name, one in group.items()}


def totals(scores: Mapping[str, float]) -> dict[str, float]:
    """Return the totals that scores of dimensions (0 to 1, by VBench's names) give, as far as all parts are there."""
    found: dict[str, float] = {}
    for title, group in ((QUALITY, "quality"), (SEMANTIC, "semantic")):
        parts = dimensions()[group].values()
        if all(part.name in scores for part in parts):
            weight = sum(part.weight for part in parts)
            found[title] = sum(part.weight * part.normal(scores[part.name]) for part in parts) / weight
    if len(found) == 2:
        shares = _constants()["total"]
        both = shares["quality"] * found[QUALITY] + shares["semantic"] * found[SEMANTIC]
        found[TOTAL] = both / (shares["quality"] + shares["semantic"])
    return found


def find_suite(folder: Path) -> Suite:
    """Return the videos of a folder whose names have VBench's form, `a prompt-0.mp4`.

    Raises:
        InputError: there is no folder, or none has.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; pass one with videos named as VBench does, such as 'a dog-0.mp4'")
    videos: dict[str, list[Path]] = {}
    strays = []
    for file in sorted(file for file in folder.iterdir() if file.suffix.lower() in VIDEOS):
        prompt, dash, number = file.stem.rpartition("-")
        if dash and prompt and number.isdecimal():
            videos.setdefault(prompt, []).append(file)
        else:
            strays.append(file.name)
    if not videos:
        raise InputError(f"{folder} has no videos named as VBench does, such as 'a dog-0.mp4'")
    in_order = {prompt: tuple(sorted(of, key=_number)) for prompt, of in videos.items()}
    return Suite(in_order, tuple(strays))


def _number(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


def prompts_of(file: Path) -> dict[str, set[str]]:
    """Return which prompts each dimension is measured on, from VBench's own `VBench_full_info.json`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        pairs = [(name, entry["prompt_en"]) for entry in entries for name in entry["dimension"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} is not VBench's list of prompts; take VBench_full_info.json of its package"
        ) from error
    found: dict[str, set[str]] = {}
    for name, prompt in pairs:
        found.setdefault(name, set()).add(prompt)
    return found


def read_results(paths: Sequence[Path]) -> dict[str, DimensionScore]:
    """Return the scores in files that VBench wrote (`*_eval_results.json`); of a dimension twice, the later file's.

    Raises:
        InputError: one is none of its files.
    """
    found: dict[str, DimensionScore] = {}
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            for name, (mean, videos) in content.items():
                found[name] = DimensionScore(float(mean), _by_video(name, videos))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not a results file of VBench; pass its *_eval_results.json") from error
    return found


def measure_dimension(python: Path, videos: Path, dimension: str, folder: Path) -> Path:
    """Return the file of results of one dimension, run by VBench unless it is kept in `folder` for the same videos.

    Args:
        python: the interpreter of VBench's environment.
        videos: a folder of videos.
        dimension: VBench's name.
        folder: where results are kept.

    Raises:
        JobFailed: VBench failed, or wrote no results.
    """
    kept = folder / f"{dimension}-{_state(videos)}_eval_results.json"
    if kept.exists():
        return kept
    found = run_vbench(python, videos, dimension, folder / f"{dimension}.work", mode="vbench_standard")
    with failures_as(JobFailed, f"{kept} could not be kept; make room"):
        write_whole(kept, json.dumps(found))
    return kept


def _by_video(name: str, videos: object) -> dict[str, float]:
    """Return scores by video, as far as VBench gives one number each."""
    scale = all_dimensions()[name].of_video if name in all_dimensions() else 1.0
    entries = [one for one in videos if isinstance(one, dict)] if isinstance(videos, list) else []
    return {
        Path(str(one["video_path"])).name: float(one["video_results"]) * scale
        for one in entries
        if "video_path" in one and isinstance(one.get("video_results"), int | float)
    }


def _state(videos: Path) -> str:
    """Return what tells a folder of videos from one with others: names, sizes and times of change."""
    files = sorted(videos.iterdir()) if videos.is_dir() else [videos]
    lines = [f"{file.name} {(stat := file.stat()).st_size} {stat.st_mtime_ns}" for file in files if file.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


@cache
def _constants() -> dict[str, Any]:
    return json.loads((files("venhancer.evaluation.paper") / "vbench.json").read_text(encoding="utf-8"))
