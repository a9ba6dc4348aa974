"""Scores of thousands of videos by the fleet: an item is a video and a metric, and its score is a fact in the ledger.

So all that holds for clips of a fleet holds for scores: a kill loses what was under way, several runs may share the
work, and a video that crashes or hangs its worker is put aside with the reason. A further metric means further items; a
video that changed, or other weights, are other items. There is no file a video: all is read back from the ledger.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.evaluation.metrics.metric import Metric, Subject
from venhancer.evaluation.metrics.registry import measure, metric_named
from venhancer.fleet.engine import Engine
from venhancer.fleet.folders import stored_here
from venhancer.fleet.in_process import InProcessEngine
from venhancer.fleet.items import Item, Order
from venhancer.fleet.job_folder import claim_folder
from venhancer.fleet.ledger import Ledger, State
from venhancer.fleet.local import LocalEngine
from venhancer.fleet.records import Made
from venhancer.fleet.run import Policy, Run
from venhancer.fleet.stores import Store
from venhancer.fleet.worker import Setup
from venhancer.jobs.origin import fingerprint
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import in_eight_bits, read_frames
from venhancer.progress import SILENT, Progress

CRAFT = "venhancer.evaluation.paper.scoring:Scoring"
JOB = {"what": "scores of videos"}
"""Of all folders of scores: metrics and weights are settings of the items, so that a further one refuses no folder."""
DUE, ENDS = ("waiting", "failed"), ("done", "failed", "quarantined")

Scores = dict[str, dict[str, float]]
"""By name of the video and of the metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Who scores, and how long anybody waits.

    Args:
        workers: processes; one also measures in a process of its own, which a video may crash.
        time_limit: seconds without progress after which a video counts as hanging.
        retry_quarantined: whether videos that were put aside are tried anew.
        craft: what scores, as "module:name".
    """

    workers: int = 1
    time_limit: float = 1800.0
    retry_quarantined: bool = False
    craft: str = CRAFT


class Unscored(NamedTuple):
    """A video that has no score of some metrics, and why."""

    video: str
    metrics: tuple[str, ...]
    reason: str


def score_videos(
    videos: Sequence[Path],
    metrics: Sequence[Metric],
    weights: Mapping[str, Path],
    records: Path,
    *,
    shard: tuple[int, int] = (1, 1),
    crew: Crew | None = None,
    progress: Progress = SILENT,
) -> tuple[Scores, list[Unscored]]:
    """Return the scores of all videos that are known when the shard is done, and which were put aside.

    Args:
        videos: files, each with a name of its own.
        metrics: that need no truth.
        weights: files, folders or programs by metric.
        records: the folder of what is known, which several runs may share.
        shard: which of how many parts of the videos this run scores, as (1, 1) for all.
        crew: who scores; None for one worker.
        progress: is told of every score.

    Raises:
        SettingsError: the shard or a number of the crew cannot be.
        InputError: weights cannot be read.
        JobFailed: weights cannot be used, or scores cannot be kept.
    """
    crew = crew or Crew()
    _check(shard, crew)
    out = Store(str(records.absolute()))
    job = claim_folder(out, JOB)
    items = {video: [_item(video, metric, weights) for metric in metrics] for video in videos}
    number, count = shard
    own = [item for video in videos[number - 1 :: count] for item in items[video]]
    setup = Setup(
        out=out.address,
        scratch=None,
        device="cpu",
        craft=crew.craft,
        options={"weights": {name: str(path.absolute()) for name, path in weights.items()}},
    )
    policy = Policy(retry_quarantined=crew.retry_quarantined)
    run = Run(own, job, out, settings=lambda item: item.settings, policy=policy, watcher=Steps(progress))
    states = run.do(lambda: _engine(setup, crew))
    ledger = Ledger(out)
    ledger.refresh()
    if any(states[item.id] == "done" and ledger.state(item.key(job)) != "done" for item in own):
        raise JobFailed(f"scores could not be kept in {records}; make room, then run the same command again")
    return _scores(items, ledger, job), list(_unscored(items, ledger, job))


class Scoring:
    """The craft of workers that score: one metric of one video after the other; of a video, frames are decoded once.

    Args:
        setup: of the worker; its option is `weights`, where they lie by metric.
    """

    def __init__(self, setup: Setup) -> None:
        self.weights: tuple[str, ...] = ()  # of records, which there are none of
        self._places = {name: Path(place) for name, place in setup.options["weights"].items()}
        self._video: object = None
        self._subject: Subject | None = None

    def refuse(self, source: Path) -> str:  # noqa: ARG002 - every file is meant
        """Return nothing: a file that is no video has failed."""
        return ""

    def make(
        self,
        source: Path,
        target: Path,  # noqa: ARG002 - there is none
        order: Order,
        *,
        stop: Callable[[], bool],  # noqa: ARG002 - a score is soon there
        progress: Progress,
    ) -> Made:
        """Return the score that an order asks for.

        Raises:
            InputError: the video cannot be read, or the metric finds no number.
            SettingsError: the video does not allow the metric, or a package is missing.
            WeightsError: its weights cannot be used.
            JobFailed: a program that measures it failed.
        """
        begin = time.monotonic()
        metric, subject = metric_named(order.settings["metric"]), self._read(source, progress)
        progress.start(1, metric.name)
        score = measure(metric, subject)
        if not isfinite(score):
            raise InputError(f"{metric.name} of {source} is {score}, not a number; leave the video out")
        seconds = round(time.monotonic() - begin, 3)
        return Made(frames=len(subject.result), seconds=seconds, facts={"score": score})

    def _read(self, source: Path, progress: Progress) -> Subject:
        """Return what metrics look at, as it was read for the metric before if that was of the same video."""
        video = (source, stored_here(source))
        if self._subject is None or video != self._video:
            self._subject = None  # room for the next
            clip = in_eight_bits(probe(source))
            progress.start(clip.frames, "read")
            frames = []
            for frame in read_frames(clip):
                frames.append(frame)
                progress.advance()
            self._subject, self._video = Subject(result=np.stack(frames), rate=clip.rate, weights=self._places), video
        return self._subject


class Steps:
    """A `venhancer.fleet.run.Watcher` that takes each score as a step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def begin(self, states: Mapping[str, State]) -> None:
        """Begin with as many steps as scores are missing."""
        self._progress.start(sum(state in DUE for state in states.values()), "score")

    def tell(self, item: Item, state: State, reason: str, facts: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Take a step if an item has ended."""
        if state in ENDS:
            self._progress.advance()

    def progress(self, item: Item, values: Mapping[str, Any]) -> None:
        """Ignore progress on an item; steps are scores."""


def _check(shard: tuple[int, int], crew: Crew) -> None:
    number, count = shard
    if not 1 <= number <= count:
        raise SettingsError(f"shard {number}/{count} cannot be; pass 1/{count} to {count}/{count}")
    if crew.workers < 1:
        raise SettingsError(f"{crew.workers} workers cannot be; pass --workers 1 or more")
    if crew.time_limit <= 0:
        raise SettingsError(f"time limit {crew.time_limit:g} s cannot be; pass --time-limit above 0")


def _item(video: Path, metric: Metric, weights: Mapping[str, Path]) -> Item:
    """Return what asks for one score; its settings tell it from that of another version, or with other weights."""
    settings = {"metric": metric.name, "version": metric.version}
    if metric.needs_weights:
        settings["weights"] = fingerprint(weights[metric.weights_key])
    return Item(f"{video.name} {metric.name}", str(video.absolute()), "", settings, stored_here(video))


def _engine(setup: Setup, crew: Crew) -> Engine:
    if sys.platform == "win32":  # workers' pipes cannot be waited for there
        return InProcessEngine(setup, lambda: Scoring(setup), stop=lambda: False, progress=SILENT)
    return LocalEngine([setup] * crew.workers, time_limit=crew.time_limit)


def _scores(items: Mapping[Path, Sequence[Item]], ledger: Ledger, job: str) -> Scores:
    found: Scores = {}
    for video, of in items.items():
        for item in of:
            facts = ledger.standing(item.key(job)).facts
            if facts is not None:
                found.setdefault(video.name, {})[item.settings["metric"]] = facts["score"]
    return found


def _unscored(items: Mapping[Path, Sequence[Item]], ledger: Ledger, job: str) -> Iterator[Unscored]:
    """Yield what was put aside, metrics of one video and reason together."""
    for video, of in items.items():
        reasons: dict[str, list[str]] = {}
        for item in of:
            if ledger.state(key := item.key(job)) in ("failed", "quarantined"):
                reasons.setdefault(ledger.standing(key).reason, []).append(item.settings["metric"])
        for reason, metrics in reasons.items():
            yield Unscored(video.name, tuple(metrics), reason)
