"""A video file in, an enhanced video file out: the page to read first.

Everything is decided in the plan; the pipeline turns frames into frames, a segment at a time; media reads and writes;
the job keeps each finished segment beside the target, so that a run that stops, for any reason, can be resumed.
Either the whole result appears at `target` or nothing does.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from venhancer.errors import InputError, JobFailed, Stopped
from venhancer.jobs.job import Job, open_job
from venhancer.jobs.origin import fingerprint, origin_of
from venhancer.jobs.outcome import encoding_of, writing_of
from venhancer.jobs.report import EnhanceReport
from venhancer.jobs.work import find_work, goes_on, is_finished
from venhancer.media.reading.cadence import read_cadence
from venhancer.media.reading.isolation import inspect, search_clip
from venhancer.media.reading.reader import Frame, FrameReader
from venhancer.media.reading.shots import Findings
from venhancer.media.writing.assemble import SEGMENT_SUFFIX
from venhancer.media.writing.writer import check_target, put_together, write_segment
from venhancer.media.writing.writing import Writing
from venhancer.model_files.traits import ModelTraits, load_traits
from venhancer.plan import UNKNOWN_MACHINE, EnhancePlan, make_plan, next_smaller
from venhancer.planning.key_pictures import find_key_pictures, with_key_pictures
from venhancer.planning.memory import Machine, is_out_of_memory
from venhancer.progress import SILENT, Progress
from venhancer.reports.plan_rows import describe_change
from venhancer.settings import AnyPath, EnhanceSettings

if TYPE_CHECKING:
    import venhancer.pipeline  # named, not loaded: planning must not wait for torch

logger = logging.getLogger(__name__)

NO_PICTURES: Mapping[int, AnyPath] = MappingProxyType({})


def plan_video(
    source: AnyPath,
    settings: EnhanceSettings,
    target: AnyPath | None = None,
    *,
    restart: bool = False,
    machine: Machine = UNKNOWN_MACHINE,
    traits: ModelTraits | None = None,
    key_frames: Mapping[int, AnyPath] = NO_PICTURES,
    progress: Progress = SILENT,
) -> EnhancePlan:
    """Return what `enhance_video` would do; loads no model.

    The clip is looked through for cuts, unless the settings say otherwise.

    Args:
        source: any video file.
        settings: the request.
        target: the file to write; unfinished work on it resumes as it was planned.
        restart: such work will be discarded.
        machine: what to plan for, such as `venhancer.planning.machine.find_machine()`; left out, its memory is no
            limit.
        traits: of the model; read from its files if left out.
        key_frames: pictures of the output's size that take the place of input frames, by these frames' numbers.
        progress: advanced by every inspected frame.

    Raises:
        InputError: the clip cannot be used, or the work on the target is of something else.
        SettingsError: the settings cannot be met for this clip, model and target.
        WeightsError: the model does not exist.
    """
    source, target = Path(source), None if target is None else Path(target)
    work = None if target is None or restart else find_work(target)
    traits = traits or load_traits(settings.model)
    choices: dict[str, Any] = {}
    if target is None or work is None or work.is_published(target):
        pass
    elif goes_on(target, work, origin_of(source, settings)):
        choices = work.choices
        machine = replace(machine, memory=choices.get("memory"), devices=choices.get("devices", 1))
    clip = inspect(source, is_part=settings.end is not None, keep_damaged=settings.keep_damaged)
    given: dict[str, Any] = {"machine": machine, "key_pictures": find_key_pictures(key_frames)}
    plan = make_plan(clip, settings, traits, **given)  # refuses before the frames are inspected
    if target is not None:
        encoding_of(plan, target)  # likewise
    if settings.looks_through:
        found = _found(choices) or search_clip(plan.clip, plan.timeline.inputs, progress=progress)
        cuts = found.cuts if settings.looks_for_cuts else ()
        seen: dict[str, Any] = {"cuts": cuts, "cadence": found.cadence, "fields": found.fields}
        plan = make_plan(clip, settings, traits, **seen, **given)
    for _ in range(choices.get("smaller", 0)):  # times that memory ran out
        plan = next_smaller(plan) or plan
    return plan


def _found(choices: Mapping[str, Any]) -> Findings | None:
    """Return what an earlier run found in the clip; None if it had not looked."""
    if choices.get("cuts") is None or choices.get("cadence") is None:
        return None
    return Findings(tuple(choices["cuts"]), read_cadence(choices["cadence"]))


def enhance_video(
    source: AnyPath,
    target: AnyPath,
    pipeline: "venhancer.pipeline.VEnhancerPipeline",
    settings: EnhanceSettings,
    *,
    overwrite: bool = False,
    restart: bool = False,
    key_frames: Mapping[int, AnyPath] = NO_PICTURES,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = SILENT,
) -> EnhanceReport:
    """Enhance one video file in space and time and write the result to `target`.

    Work that an earlier call with the same arguments left unfinished beside the target resumes.

    Args:
        source: any video file.
        target: a file of any kind in `docs/formats.md`: a video, a GIF, a WebP, or the pattern of numbered pictures.
        pipeline: the model, loaded; `settings.model` is ignored.
        settings: the request.
        overwrite: replace `target` if it is there.
        restart: discard unfinished work and start over.
        key_frames: see `plan_video`.
        stop: called after each segment; True stops there.
        progress: advanced by every evaluation of the networks.

    Raises:
        InputError: the source cannot be used, the target cannot be written, or there is other work on it.
        SettingsError: the settings cannot be met for this clip and model.
        JobFailed: writing failed half-way; finished segments are kept, and the message says where.
        Stopped: `stop` or Ctrl-C requested it; likewise.
    """
    source, target = Path(source), Path(target)
    settings = settings.model_copy(update={"model": pipeline.traits.name})
    check_target(target, source, codec=settings.codec, overwrite=overwrite or is_finished(target))
    plan = plan_video(
        source,
        settings,
        target,
        restart=restart,
        machine=pipeline.machine,
        traits=pipeline.traits,
        key_frames=key_frames,
        progress=progress,
    )
    return enhance_as_planned(
        plan, target, pipeline, overwrite=overwrite, restart=restart, stop=stop, progress=progress
    )


def enhance_as_planned(
    plan: EnhancePlan,
    target: AnyPath,
    pipeline: "venhancer.pipeline.VEnhancerPipeline",
    *,
    overwrite: bool = False,
    restart: bool = False,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = logger.warning,
    show: Callable[[Frame], None] = lambda _: None,
    progress: Progress = SILENT,
) -> EnhanceReport:
    """Carry out a plan and write the result to `target`; see `enhance_video`.

    If memory runs out, the work continues with a plan that needs less, and `tell` gets a line about it. `show` gets
    each output frame before it is written.
    """
    target = Path(target)
    started, writing = time.monotonic(), writing_of(plan, target)
    with open_job(target, _origin(plan, pipeline), frames=plan.frames, choices=_choices(plan), restart=restart) as job:
        before = job.manifest.finished_frames
        if not job.is_published:
            plan = _make_segments(job, plan, writing, pipeline, stop=stop, tell=tell, show=show, progress=progress)
            _refuse_changed_input(job, plan)
            put_together(job.result, target, job.segments, writing, plan.clip)  # and all else -> file
            job.publish(overwrite=overwrite)
    return _report(plan, target, pipeline, started=started, before=before)


def make_share(
    plan: EnhancePlan,
    target: AnyPath,
    pipeline: "venhancer.pipeline.VEnhancerPipeline",
    segments: range,
    *,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = logger.warning,
    progress: Progress = SILENT,
) -> tuple[list[Path], EnhanceReport]:
    """Make some segments of a plan, and return their files, which stay in the work on `target`.

    All shares of a plan together, joined by `join_shares`, give what `enhance_as_planned` does.

    Args:
        plan: of the whole.
        target: what the whole will be called; every share needs a folder of its own.
        pipeline: the model.
        segments: numbers of the segments; the first begins a shot, and the last ends one.
        stop: see `enhance_video`.
        tell: see `enhance_as_planned`.
        progress: see `enhance_video`.

    Raises:
        ValueError: the segments begin or end within a shot.
        InputError: see `enhance_video`; likewise the rest.
    """
    chosen = plan.segments[segments.start : segments.stop]
    if chosen[0].carried or not chosen[-1].ends_shot:
        raise ValueError(f"segments {segments.start} to {segments.stop - 1} are not whole shots")
    target = Path(target)
    started, writing = time.monotonic(), writing_of(plan, target)
    origin = {**_origin(plan, pipeline), "segments": [segments.start, segments.stop]}
    frames = sum(len(segment.frames) for segment in chosen)
    share = replace(plan, layout=replace(plan.layout, segments=chosen))
    with open_job(target, origin, frames=frames, choices=_choices(plan)) as job:
        before = job.manifest.finished_frames
        share = _make_segments(
            job, share, writing, pipeline, stop=stop, tell=tell, show=lambda _: None, progress=progress
        )
        _refuse_changed_input(job, plan)
        made = job.segments
    return made, _report(share, target, pipeline, started=started, before=before)


def join_shares(plan: EnhancePlan, target: AnyPath, segments: Sequence[Path]) -> None:
    """Put the segments of all shares of a plan together, in order, to `target`.

    Raises:
        InputError: the source is damaged or gone.
        JobFailed: a segment is damaged, or the target cannot be written.
    """
    target = Path(target)
    put_together(target, target, segments, writing_of(plan, target), plan.clip)


def _origin(plan: EnhancePlan, pipeline: "venhancer.pipeline.VEnhancerPipeline") -> dict[str, Any]:
    """Return all that the result depends on."""
    machine = {"device": pipeline.device.type, "number format": _dtype(pipeline), "weights": pipeline.fingerprint()}
    own = [f"{one.number} {fingerprint(one.picture.path)}" for one in plan.key_pictures]
    return origin_of(plan.clip.path, plan.settings) | machine | {"key frames": own}


def _choices(plan: EnhancePlan) -> dict[str, Any]:
    """Return what was found out or chosen for a plan, and must stay for the rest of the work."""
    return {
        "cuts": plan.cuts,
        "cadence": asdict(plan.cadence),
        "memory": plan.machine.memory,
        "devices": plan.machine.devices,
    }


def _dtype(pipeline: "venhancer.pipeline.VEnhancerPipeline") -> str:
    return str(pipeline.unet.dtype).removeprefix("torch.")


def _report(
    plan: EnhancePlan, target: Path, pipeline: "venhancer.pipeline.VEnhancerPipeline", *, started: float, before: int
) -> EnhanceReport:
    return EnhanceReport(
        plan=plan,
        target=target,
        seconds=time.monotonic() - started,
        frames_before=before,
        device=str(pipeline.device),
        dtype=_dtype(pipeline),
    )


def _make_segments(
    job: Job,
    plan: EnhancePlan,
    writing: Writing,
    pipeline: "venhancer.pipeline.VEnhancerPipeline",
    *,
    stop: Callable[[], bool],
    tell: Callable[[str], None],
    show: Callable[[Frame], None],
    progress: Progress,
) -> EnhancePlan:
    """Make the segments that are not finished yet, and return the plan of the last one.

    Raises:
        JobFailed: memory ran out, and no plan needs less.
        Stopped: `stop` requested it.
    """
    while job.finished_segments < len(plan.segments):
        try:
            _make_as_planned(job, plan, writing, pipeline, stop=stop, show=show, progress=progress)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            smaller = next_smaller(plan)
            if smaller is None:
                raise JobFailed("memory ran out, and no smaller plan is left; free some memory") from error
            job.decide(smaller=job.manifest.choices.get("smaller", 0) + 1)
            tell(f"memory ran out; resuming at frame {job.manifest.finished_frames} with {describe_change(smaller)}")
            plan = smaller
        pipeline.release_memory()  # out here, where the tensors that the error holds on to are gone
    return plan


def _make_as_planned(
    job: Job,
    plan: EnhancePlan,
    writing: Writing,
    pipeline: "venhancer.pipeline.VEnhancerPipeline",
    *,
    stop: Callable[[], bool],
    show: Callable[[Frame], None],
    progress: Progress,
) -> None:
    path = job.unfinished(SEGMENT_SUFFIX)
    with FrameReader(plan.clip, keep=plan.sampling.window_frames) as reader:  # file -> frames

        def read(numbers: Sequence[int]) -> Iterator[Frame]:
            return with_key_pictures(reader.read, numbers, plan.key_pictures)

        segments = pipeline.enhance_segments(
            plan, read, first=job.finished_segments, carry=job.carry(), progress=progress
        )  # frames -> latents -> denoised -> frames
        for enhanced in segments:
            write_segment(path, _shown(enhanced.frames, show), writing, called=job.target)  # frames -> file
            job.keep(path, len(enhanced.segment.frames), enhanced.carry)
            if stop() and job.finished_segments < len(plan.segments):
                raise Stopped


def _shown(frames: Iterator[Frame], show: Callable[[Frame], None]) -> Iterator[Frame]:
    for frame in frames:
        show(frame)
        yield frame


def _refuse_changed_input(job: Job, plan: EnhancePlan) -> None:
    """Raise if the source is not what it was when the work began."""
    if fingerprint(plan.clip.path) != job.manifest.origin["input"]:
        raise InputError(f"{plan.clip.path} changed while it was being read; leave it unchanged and pass --restart")
