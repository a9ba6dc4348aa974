"""What a run tells of itself: `log.jsonl`, lines on the console, TensorBoard if installed, at the end `report.json`.

The loop hands over every group's losses with `add` and every step with `finish_step`, which judges the step before its
update is made: a run that has gone wrong ends there, and its checkpoints stay. Whatever later lines depend on is in
`state`, which belongs into checkpoints, so that a log reads the same however often the run was stopped.
"""

import json
import logging
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from venhancer.errors import JobFailed
from venhancer.reports.sheets import as_file
from venhancer.training.data.augment import Example
from venhancer.training.log.buckets import (
    ClipLoss,
    RunningMeans,
    factor_bucket,
    factor_label,
    key_frame_gap,
    timestep_bucket,
    timestep_label,
)
from venhancer.training.log.divergence import GroupLoss, Watch
from venhancer.training.log.file import append_line, cut_log, flat, rounded, write_file
from venhancer.training.objective import Losses
from venhancer.training.settings import TrainSettings
from venhancer.training.start import precision_of

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

PICTURES, BOARD, REPORT_FILE = "pictures", "tensorboard", "report.json"
PACKAGES = ("venhancer", "torch", "diffusers", "transformers", "accelerate", "numpy", "av")
"""Their versions are in the report."""


class Group(NamedTuple):
    """The losses of one group of clips, as numbers."""

    terms: dict[str, float]
    clips: list[ClipLoss]

    @property
    def loss(self) -> GroupLoss:
        """The group's whole loss under the name of its objective."""
        return GroupLoss(self.clips[0].objective, sum(self.terms.values()))


class _Moment(NamedTuple):
    """Where a run was at some time."""

    step: int
    clips: int
    time: float


class RunLog:
    """The log of one run. Every process keeps one and all know the same; the main one writes.

    Args:
        settings: of the run; the log is kept in their `output`.
        checkpoints: gives the run's checkpoints by their step, oldest first, for the error of a run that stops.
        is_main: whether this process writes.
        gather: joins the lists of all processes into one, the same for each.
    """

    def __init__(
        self,
        settings: TrainSettings,
        *,
        checkpoints: Callable[[], dict[int, Path]],
        is_main: bool = True,
        gather: Callable[[list[Any]], list[Any]] = list,
    ) -> None:
        self.settings, self.checkpoints, self.is_main, self.gather = settings, checkpoints, is_main, gather
        self.watch = Watch(settings.log)
        self.by_timestep = RunningMeans(settings.log.bucket_window, timestep_bucket, timestep_label)
        self.by_factors = RunningMeans(settings.log.bucket_window, factor_bucket, factor_label)
        self.validations: dict[str, dict[str, Any]] = {}
        self.clips, self.seconds = 0, 0.0
        self._pending: list[tuple[Losses, Tensor, Tensor]] = []  # numbers are read once a step: reading waits
        self._recent: list[dict[str, Any]] = []
        self._spent = {"loading": 0.0, "aside": 0.0}  # seconds since the last line
        self._clock = time.monotonic()
        self._board: SummaryWriter | None = None

    def begin(self, step: int) -> None:
        """Begin a sitting after so many steps; lines of later ones are dropped, since they come again.

        Raises:
            JobFailed: the run's folder cannot be written to.
        """
        self._clock = time.monotonic()
        self._start = self._last_line = _Moment(step, self.clips, self._clock)
        if not self.is_main:
            return
        cut_log(self.settings.output, step)
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.settings.output / BOARD), purge_step=step + 1)

    @contextmanager
    def spending(self, what: Literal["loading", "aside"]) -> Iterator[None]:
        """Count the time within the block as waiting for data, or leave it out of rates since nothing is learned."""
        begin = time.monotonic()
        yield
        self._spent[what] += time.monotonic() - begin

    def add(self, batch: Example, losses: Losses) -> None:
        """Take note of the losses of one group of the current step."""
        terms = {name: term.detach() for name, term in losses.terms.items()}
        losses = losses._replace(terms=terms, per_clip=losses.per_clip.detach())
        self._pending.append((losses, batch.key_frame_mask, batch.downscale_factor))

    def finish_step(self, step: int, gradient_norm: float | Tensor, learning_rate: float) -> None:
        """Judge step number `step`, from 1, before its update is made; write a line if one is due.

        Raises:
            JobFailed: the loss or the gradient is no number, or the loss has jumped; the same in all processes.
        """
        groups = self.gather([_as_numbers(*group) for group in self._pending])
        self._pending.clear()
        norm = float(gradient_norm)
        if complaint := self.watch.judge(step, [group.loss for group in groups], norm):
            self._stop(step, complaint, first_bad=step - self.watch.high_steps + 1)
        for group in groups:
            self.by_timestep.add(group.clips)
            self.by_factors.add(group.clips)
        self.clips += sum(len(group.clips) for group in groups)
        loss = fmean(group.loss.loss for group in groups)
        self._recent.append({"loss": loss, "terms": _mean_terms(group.terms for group in groups), "norm": norm})
        if step % self.settings.log_every == 0 or step == self.settings.steps:
            self._write_line(step, learning_rate)

    def validated(self, step: int, result: Mapping[str, Any]) -> None:
        """Write a line of a validation, which has at least a `loss`.

        Raises:
            JobFailed: the loss is no number.
        """
        if not np.isfinite(result["loss"]):
            self._stop(step, f"the validation loss is {result['loss']} at step {step}", first_bad=step + 1)
        figures = rounded(result)
        line = self.validations["last"] = {"step": step, **figures}
        if line["loss"] <= self.validations.get("best", line)["loss"]:
            self.validations["best"] = line
        self._write({"step": step, "validation": figures})
        words = ", ".join(f"{name} {value}" for name, value in figures.items() if isinstance(value, float))
        self._tell("step %s: validation %s", f"{step:,}", words)

    def pictured(self, step: int, name: str, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Keep a picture of a step as a PNG file and on the board."""
        if not self.is_main:
            return
        write_file(self.settings.output / PICTURES / f"step_{step:08d}_{name}.png", as_file(picture))
        if self._board is not None:
            self._board.add_image(name, picture, step, dataformats="HWC")

    def finish(self, step: int, **totals: object) -> None:
        """Write the report of a finished run and show where its loss came from.

        Args:
            step: the last one.
            totals: more to report, such as the clips that were skipped.

        Raises:
            JobFailed: it cannot be written.
        """
        self._pass_time()
        if not self.is_main:
            return
        buckets = {"by_timestep": [*self.by_timestep.rows()], "by_factors": [*self.by_factors.rows()]}
        figures = {
            "steps": step,
            "clips": self.clips,
            "seconds": self.seconds,
            **totals,
            "validation": self.validations,
            "peak_memory_bytes": _peak_memory(),
            **{name: [row._asdict() for row in rows] for name, rows in buckets.items()},
        }
        report = rounded(figures) | {
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "precision": precision_of(self.settings),
            "settings": self.settings.model_dump(mode="json"),
        }
        write_file(self.settings.output / REPORT_FILE, json.dumps(report, indent=2) + "\n")
        for name, rows in buckets.items():
            for row in rows:
                what = f"{row.objective} {name.replace('_', ' ')}"
                logger.info("%-24s %-12s %.4g over %d clips", what, row.bucket, row.loss, row.clips)
        self._close_board()

    @property
    def is_steady(self) -> bool:
        """Whether the loss is where it was; checkpoints should wait until it is."""
        return self.watch.high_steps == 0

    def state(self) -> dict[str, Any]:
        """Return what later lines depend on, as JSON values."""
        self._pass_time()
        return {
            "watch": self.watch.state(),
            "by_timestep": self.by_timestep.state(),
            "by_factors": self.by_factors.state(),
            "validations": self.validations,
            "clips": self.clips,
            "seconds": self.seconds,
            "recent": list(self._recent),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.watch.restore(**state["watch"])
        self.by_timestep.restore(state["by_timestep"])
        self.by_factors.restore(state["by_factors"])
        self.validations, self._recent = dict(state["validations"]), list(state["recent"])
        self.clips, self.seconds = state["clips"], state["seconds"]

    def _write_line(self, step: int, learning_rate: float) -> None:
        """Write what happened since the last line."""
        recent, last, now = self._recent, self._last_line, _Moment(step, self.clips, time.monotonic())
        seconds = max(now.time - last.time - self._spent["aside"], 1e-9)
        self._pass_time()
        line: dict[str, Any] = {
            "step": step,
            "loss": fmean(one["loss"] for one in recent),
            "terms": _mean_terms(one["terms"] for one in recent),
            "gradient_norm": fmean(one["norm"] for one in recent),
            "learning_rate": learning_rate,
            "by_timestep": self.by_timestep.means(),
            "by_factors": self.by_factors.means(),
            "clips": self.clips,
            "seconds": self.seconds,
            "steps_per_second": (step - last.step) / seconds,
            "clips_per_second": (self.clips - last.clips) / seconds,
            "loading_share": min(1.0, self._spent["loading"] / seconds),
            "peak_memory_bytes": _peak_memory(),
        }
        self._write(rounded(line))
        step_seconds = (now.time - self._start.time) / (step - self._start.step)
        self._tell(
            "step %s of %s: loss %.4g (%s), gradient %.3g, %.3g steps/s, %s left",
            f"{step:,}",
            f"{self.settings.steps:,}",
            line["loss"],
            ", ".join(f"{name} {value:.4g}" for name, value in line["terms"].items()),
            line["gradient_norm"],
            line["steps_per_second"],
            timedelta(seconds=round((self.settings.steps - step) * step_seconds)),
        )
        self._recent, self._last_line, self._spent = [], now, dict.fromkeys(self._spent, 0.0)

    def _write(self, line: dict[str, Any]) -> None:
        if not self.is_main:
            return
        append_line(self.settings.output, line)
        if self._board is not None:
            for name, value in flat({key: value for key, value in line.items() if key != "step"}):
                self._board.add_scalar(name, value, line["step"])

    def _tell(self, message: str, *values: object) -> None:
        if self.is_main:
            logger.info(message, *values)

    def _close_board(self) -> None:
        if self._board is not None:
            self._board.close()

    def _stop(self, step: int, complaint: str, *, first_bad: int) -> NoReturn:
        """End the run with the fault and the checkpoint to resume from.

        A checkpoint is good if the step after it was: weights that gave a bad loss are kept, but not recommended.
        """
        if self.is_main:
            append_line(self.settings.output, {"step": step, "stopped": complaint})
        self._close_board()
        checkpoints = self.checkpoints()
        good = [folder for number, folder in checkpoints.items() if number < first_bad - 1]
        suspect = [str(folder) for number, folder in checkpoints.items() if number >= first_bad - 1]
        last = f"the last good checkpoint is {good[-1]}" if good else "no good checkpoint exists yet"
        remove = f"remove {' and '.join(suspect)}, " if suspect else ""
        remedy = f"{remove}lower learning_rate or clip_norm, and run the same command again"
        raise JobFailed(f"{complaint}; {last}: {remedy}")

    def _pass_time(self) -> None:
        """Count the time since the last call as time of the run."""
        now = time.monotonic()
        self.seconds, self._clock = self.seconds + now - self._clock, now


def _as_numbers(losses: Losses, key_frame_masks: Tensor, downscale_factors: Tensor) -> Group:
    objective = next(iter(losses.terms))
    gaps = [key_frame_gap(mask) for mask in key_frame_masks.tolist()]
    rows = zip(losses.timesteps.tolist(), gaps, downscale_factors.tolist(), losses.per_clip.tolist(), strict=True)
    terms = {name: float(term) for name, term in losses.terms.items()}
    return Group(terms, [ClipLoss(objective, *row) for row in rows])


def _mean_terms(groups: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each term over the groups that have it."""
    values: dict[str, list[float]] = defaultdict(list)
    for terms in groups:
        for name, value in terms.items():
            values[name].append(value)
    return {name: fmean(numbers) for name, numbers in values.items()}


def _peak_memory() -> int:
    """Return the most bytes this process has held: on the accelerator if there is one, else in memory; 0 if unknown."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024
