"""Scores of thousands of videos: one line a video is appended as soon as it is known, and no video is scored twice.

Several processes may share the work: each scores its shard and writes a file of its own; all read all files. A line
that a kill cut short is passed over, and that video scored again.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.evaluation.metrics.metric import Metric, Subject
from venhancer.evaluation.metrics.registry import measure_all
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import in_eight_bits, read_frames
from venhancer.media.source import failures_as
from venhancer.progress import SILENT, Progress

Scores = dict[str, dict[str, float]]
"""By video and metric."""


def score_videos(
    videos: Sequence[Path],
    metrics: Sequence[Metric],
    weights: Mapping[str, Path],
    records: Path,
    *,
    shard: tuple[int, int] = (1, 1),
    progress: Progress = SILENT,
) -> tuple[Scores, dict[str, str]]:
    """Return the scores of all videos that are known when the shard is done, and why others have none.

    Args:
        videos: files, each with a name of its own.
        metrics: that need no truth.
        weights: files, folders or programs by metric.
        records: the folder of what is known.
        shard: which of how many parts of the videos this process scores, as (1, 1) for all.
        progress: is told of every video.

    Raises:
        SettingsError: the shard cannot be.
        WeightsError: weights that the user named cannot be used.
        JobFailed: a record cannot be written.
    """
    number, count = shard
    if not 1 <= number <= count:
        raise SettingsError(f"shard {number}/{count} cannot be; pass 1/{count} to {count}/{count}")
    known = read_records(records)
    own = videos[number - 1 :: count]
    progress.start(len(own), "score")
    with failures_as(JobFailed, f"scores could not be kept in {records}; make room"):
        records.mkdir(parents=True, exist_ok=True)
        with _appended(records / f"scores-{number}-of-{count}.jsonl") as file:
            for video in own:
                before = known.get(_key(video), {})
                missing = [metric for metric in metrics if metric.label not in before]
                if missing:
                    file.write(json.dumps(_score(video, missing, weights)) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                progress.advance()
    known = read_records(records)
    scores, errors = {}, {}
    for video in videos:
        found = known.get(_key(video), {})
        if "error" in found:
            errors[video.name] = str(found["error"])
        values = {metric.name: found[metric.label] for metric in metrics if metric.label in found}
        if values:
            scores[video.name] = values
    return scores, errors


def read_records(folder: Path) -> dict[str, dict[str, float]]:
    """Return what all files of a folder of records say, by video; a video that changed since counts as another."""
    known: dict[str, dict[str, float]] = {}
    for line in _lines(folder):
        found = known.setdefault(line["video"], {})
        found.pop("error", None)
        found.update(line["scores"])
        if "error" in line:
            found["error"] = line["error"]
    return known


def _score(video: Path, metrics: Sequence[Metric], weights: Mapping[str, Path]) -> dict[str, object]:
    """Return the record of a video: its scores, or why there are none."""
    begin = time.monotonic()
    try:
        clip = in_eight_bits(probe(video))
        subject = Subject(result=np.stack(list(read_frames(clip))), rate=clip.rate, weights=weights)
    except InputError as error:
        return {"video": _key(video), "scores": {}, "error": str(error)}
    scores = measure_all(metrics, subject)
    values = {metric.label: scores[metric.name] for metric in metrics if isfinite(scores[metric.name])}
    absent = [metric.name for metric in metrics if metric.label not in values]
    error = {"error": f"{', '.join(absent)} cannot be measured on it"} if absent else {}
    return {"video": _key(video), "scores": values, "seconds": round(time.monotonic() - begin, 3), **error}


def _key(video: Path) -> str:
    stat = video.stat()
    return f"{video.name}|{stat.st_size}|{stat.st_mtime_ns}"


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("scores-*.jsonl")):
        for line in file.read_bytes().splitlines():
            try:
                content = json.loads(line)
            except ValueError:
                continue  # a kill cut it short
            if isinstance(content, dict) and {"video", "scores"} <= content.keys():
                yield content


def _appended(path: Path) -> TextIO:
    """Return a file open to append, its last line whole."""
    if path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size:
        with path.open("ab") as file:
            file.write(b"\n")
    return path.open("a", encoding="utf-8")
