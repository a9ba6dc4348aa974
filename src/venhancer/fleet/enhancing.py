"""The craft of a fleet's workers: `venhancer.enhance` with a model that is loaded once."""

import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from venhancer.enhance import enhance_as_planned, join_shares, make_share, plan_video
from venhancer.errors import InputError, JobFailed, WeightsError
from venhancer.fleet.folders import A_PICTURE
from venhancer.fleet.items import Order
from venhancer.fleet.licences import describe_weights
from venhancer.fleet.records import Made
from venhancer.fleet.shares import Division, divide, share_of
from venhancer.jobs.origin import fingerprint, versions
from venhancer.jobs.outcome import losses
from venhancer.jobs.report import EnhanceReport
from venhancer.jobs.work import find_work
from venhancer.media.reading.cadence import read_cadence
from venhancer.media.reading.isolation import inspect
from venhancer.model_files.folders import find_model
from venhancer.model_files.traits import load_traits
from venhancer.plan import EnhancePlan, make_plan
from venhancer.progress import Progress
from venhancer.runtime.heap import keep_freed_memory
from venhancer.settings import EnhanceSettings, parse_settings

if TYPE_CHECKING:
    from venhancer.fleet.worker import Setup
    from venhancer.pipeline import VEnhancerPipeline  # named, not loaded


class Enhancing:
    """Enhances one clip after the other.

    Args:
        setup: of the worker; its options are `model` (nano, v1, v2 or a model folder), `weights`, the fingerprint of
            the model's files, which must be the same for all workers, and `dtype`, as `venhancer enhance` takes it.
        pipeline: the model, if it is loaded already.

    Raises:
        WeightsError: the model is not there, or is another than the other workers'.
        SettingsError: there is no such device or number format here.
    """

    def __init__(self, setup: "Setup", pipeline: "VEnhancerPipeline | None" = None) -> None:
        model = setup.options["model"]
        if fingerprint(find_model(model)) != setup.options["weights"]:
            raise WeightsError(f"model {model} of {platform.node()} is another than the job's; copy it there")
        if pipeline is None:
            from venhancer.weights import load_pipeline

            pipeline = load_pipeline(model, device=setup.device, dtype=setup.options["dtype"])
        self.pipeline = pipeline
        self.weights = describe_weights(model)
        self._plans: dict[str, EnhancePlan] = {}  # by key: of an order that was not divided, and is made whole next

    def refuse(self, source: Path) -> str:
        """Return why a file is no clip; empty if it is one."""
        try:
            return A_PICTURE if inspect(source).kind == "still" else ""
        except InputError as error:
            return str(error)

    def make(self, source: Path, target: Path, order: Order, *, stop: Callable[[], bool], progress: Progress) -> Made:
        """Make the target of the source; see `enhance_video`.

        Raises:
            InputError: the source is no clip that can be used.
            JobFailed: something could not be written; finished segments are kept.
            Stopped: `stop` requested it; likewise.
        """
        settings, pipeline = settings_in(order), self.pipeline
        if target.exists() and find_work(target) is None:  # whole, by a run that was killed before it was published
            plan = plan_video(source, settings, machine=pipeline.machine, traits=pipeline.traits)
            return Made(frames=plan.frames, seconds=None, facts={}, not_kept=tuple(losses(plan, target)))
        forget_peak(pipeline)
        notes: list[str] = []
        plan = self._plans.pop(order.key, None)
        if plan is None:
            chosen = {"machine": pipeline.machine, "traits": pipeline.traits, "progress": progress}
            plan = plan_video(source, settings, target, **chosen)
        report = enhance_as_planned(
            plan, target, pipeline, overwrite=True, stop=stop, tell=notes.append, progress=progress
        )
        return self._made(report, report.plan.frames, notes)

    def divide(self, source: Path, target: Path, order: Order, *, progress: Progress) -> Division | None:
        """Return how the source is divided into shares; None if it is made whole.

        Raises:
            InputError: the source is no clip that can be used.
        """
        pipeline, settings = self.pipeline, settings_in(order)
        plan = plan_video(source, settings, target, machine=pipeline.machine, traits=pipeline.traits, progress=progress)
        division = divide(plan, order.share_frames)
        if division is None:
            self._plans = {order.key: plan}
        return division

    def make_share(
        self, source: Path, target: Path, order: Order, *, stop: Callable[[], bool], progress: Progress
    ) -> tuple[list[Path], Made]:
        """Make the segments of a share; see `venhancer.enhance.make_share`.

        Raises:
            JobFailed: something could not be written, or this machine plans the film otherwise.
            Stopped: `stop` requested it; finished segments are kept.
        """
        forget_peak(self.pipeline)
        notes: list[str] = []
        share = share_of(order)
        plan = self._plan_divided(source, order)
        segments = range(*share["shares"][share["number"]])
        files, report = make_share(
            plan, target, self.pipeline, segments, stop=stop, tell=notes.append, progress=progress
        )
        frames = sum(len(segment.frames) for segment in report.plan.segments)
        return files, self._made(report, frames, notes)

    def join(self, source: Path, target: Path, order: Order, segments: Sequence[Path]) -> None:
        """Put the segments of all shares together to the target.

        Raises:
            JobFailed: it cannot be written.
        """
        join_shares(self._plan_divided(source, order), target, segments)

    def _plan_divided(self, source: Path, order: Order) -> EnhancePlan:
        """Return the plan of a film that was divided, as whoever divided it planned it."""
        settings, pipeline, share = settings_in(order), self.pipeline, share_of(order)
        division = Division.from_json(share)
        clip = inspect(source, is_part=settings.end is not None, keep_damaged=settings.keep_damaged)
        machine = replace(pipeline.machine, memory=division.memory)
        found = {"cuts": tuple(division.cuts), "cadence": read_cadence(division.cadence)}
        plan = make_plan(clip, settings, pipeline.traits, **found, machine=machine)
        if not division.matches(plan):
            raise JobFailed(f"{platform.node()} divides {order.id} otherwise; give all workers the same --dtype")
        return plan

    def _made(self, report: EnhanceReport, frames: int, notes: Sequence[str]) -> Made:
        plan = report.plan
        facts = {
            "size": [plan.width, plan.height],
            "rate": str(plan.rate),
            "model": plan.traits.name,
            "seed": plan.sampling.seed,
            "steps": plan.sampling.steps,
            "frames_before": report.frames_before,
            "peak_memory_bytes": peak_memory(self.pipeline),
            "host": platform.node(),
            "device": report.device,
            "dtype": report.dtype,
            "versions": {"python": platform.python_version(), **versions()},
        }
        return Made(
            frames=frames,
            seconds=round(report.seconds, 3),
            facts=facts,
            notes=tuple(notes),
            not_kept=tuple(losses(plan, report.target)),
        )


def load_enhancing(setup: "Setup") -> Enhancing:
    """Return the craft of a process that is there for it alone, and so keeps freed memory where that pays.

    Raises:
        WeightsError: see `Enhancing`; likewise SettingsError.
    """
    if load_traits(setup.options["model"]).keeps_freed_memory:
        keep_freed_memory()
    return Enhancing(setup)


def settings_in(order: Order) -> EnhanceSettings:
    """Return the settings of an order.

    Raises:
        SettingsError: they cannot be.
    """
    return parse_settings(**order.settings)


def forget_peak(pipeline: "VEnhancerPipeline") -> None:
    """Begin to measure the most memory anew, where the system can."""
    if pipeline.device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(pipeline.device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak of the resident memory


def peak_memory(pipeline: "VEnhancerPipeline") -> int:
    """Return the most memory that was taken: of the GPU, or resident of this process, in bytes."""
    if pipeline.device.type == "cuda":
        import torch

        return torch.cuda.max_memory_reserved(pipeline.device)
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
