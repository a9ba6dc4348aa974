"""What a job would be, before it is one: sizes, times and memory, as the plan says them, without waiting for it."""

from functools import lru_cache
from pathlib import Path
from threading import BoundedSemaphore

from venhancer.jobs.outcome import losses
from venhancer.media.clip import ClipInfo
from venhancer.media.reading.isolation import inspect
from venhancer.media.source import Identity, identity_of
from venhancer.model_files.traits import load_traits
from venhancer.plan import EnhancePlan, make_plan
from venhancer.planning.layout import format_number
from venhancer.planning.memory import Machine
from venhancer.serving.store import JobStore
from venhancer.settings import EnhanceSettings, format_memory

Rows = list[tuple[str, str]]

LOOKING = BoundedSemaphore(4)
"""Files looked at together: each is in a process of its own, and a crowd must not fill the machine."""


def look_at(source: Path, settings: EnhanceSettings) -> ClipInfo:
    """Return what a file is, looked at once, in a process of its own.

    Raises:
        InputError: no clip that can be used.
    """
    return _look_at(source, identity_of(source), is_part=settings.end is not None, keep=settings.keep_damaged)


@lru_cache(maxsize=32)
def _look_at(source: Path, state: Identity, *, is_part: bool, keep: bool) -> ClipInfo:  # noqa: ARG001 - tells files apart
    with LOOKING:
        return inspect(source, is_part=is_part, keep_damaged=keep)


def plan_roughly(source: Path, settings: EnhanceSettings, machine: Machine) -> EnhancePlan:
    """Return what would be done with a file if it is one shot; nobody looks for cuts yet.

    Raises:
        InputError: the clip cannot be used.
        SettingsError: the settings cannot be met for this clip and model.
        WeightsError: the model is not there.
    """
    return make_plan(look_at(source, settings), settings, load_traits(settings.model), machine=machine)


def outlook(plan: EnhancePlan, target: Path, store: JobStore) -> Rows:
    """Return, as labels and values, what a plan means for whoever waits for it.

    Raises:
        SettingsError: the target, the codec and what else is asked for do not go together.
    """
    clip = plan.clip
    rate, seconds = format_number(plan.rate), format_number(plan.duration)
    return [
        ("input", f"{clip.width}x{clip.height}, {format_number(clip.rate)} fps, {clip.frames} frames"),
        ("output", f"{plan.width}x{plan.height}, {rate} fps, {plan.frames} frames, {seconds} s"),
        ("time", estimate_time(plan, store)),
        ("memory", _memory(plan)),
        ("not kept", ", ".join(losses(plan, target)) or "nothing is lost"),
    ]


def estimate_time(plan: EnhancePlan, store: JobStore) -> str:
    """Return how long a plan takes, in words, going by the last finished job of the same model here."""
    model, steps = plan.settings.model, plan.settings.steps
    for record in reversed(store.records()):
        is_alike = (record.settings.get("model", "nano"), record.settings.get("steps")) == (model, steps)
        if record.state == "finished" and is_alike and record.pixels and record.seconds:
            seconds = record.seconds * plan.frames * plan.width * plan.height / record.pixels
            return f"about {format_seconds(seconds)}, going by the last job of {model}"
    return "not known before the first job here; a preview tells it"


def format_seconds(seconds: float) -> str:
    """Return a length of time in words.

    >>> format_seconds(3725.2)
    '1 h 2 min'
    >>> format_seconds(65)
    '1 min 5 s'
    """
    whole = max(1, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _memory(plan: EnhancePlan) -> str:
    free = "" if plan.machine.memory is None else f" of {format_memory(plan.machine.memory)} free"
    return f"about {plan.footprint.total / 1e9:,.1f} GB{free}"
