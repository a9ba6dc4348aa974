"""What a fleet will have to do, before it begins: clips, frames, work and memory, and hours for so many workers.

Clips are looked at in processes of their own, as always, and planned without a search for cuts, which would decode
them. Of very many, some that are evenly spread stand for all.
"""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from venhancer.errors import InputError, SettingsError
from venhancer.fleet.folders import VIDEOS
from venhancer.fleet.items import Item
from venhancer.fleet.local import threads_each
from venhancer.fleet.manifest import settings_of
from venhancer.fleet.pages import format_seconds
from venhancer.fleet.stores import open_file_at
from venhancer.media.reading.isolation import inspect
from venhancer.model_files.traits import ModelTraits
from venhancer.plan import EnhancePlan, make_plan
from venhancer.planning.memory import Machine
from venhancer.progress import Progress
from venhancer.settings import EnhanceSettings, format_memory

MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What there is to do.

    Args:
        clips: to be enhanced.
        looked_at: how many of them stand for all.
        frames: of all outputs.
        flops: of the networks.
        memory: bytes that a worker needs, at most.
        problems: of clips that cannot be used, by id.
    """

    clips: int
    looked_at: int
    frames: int
    flops: float
    memory: int
    problems: dict[str, str]

    def rows(self, tflops: float | None, workers: Sequence[int]) -> Iterator[tuple[str, str]]:
        """Yield it as labels and values.

        Args:
            tflops: that one worker sustains; None tells no hours.
            workers: numbers of them to tell hours for.
        """
        seen = "" if self.looked_at == self.clips else f", by {self.looked_at:,} that were looked at"
        yield "clips", f"{self.clips:,}{seen}"
        yield "output frames", f"{self.frames:,}"
        yield "work", f"{self.flops / 1e12:,.1f} TFLOP in the networks"
        yield "memory a worker", f"about {format_memory(self.memory)}"
        for number in workers if tflops else ():
            seconds = self.flops / (1e12 * (tflops or 1)) / number
            yield (
                f"{number:,} worker{'s' if number > 1 else ''}",
                f"{format_seconds(seconds)} at {tflops:g} TFLOP/s each",
            )
        yield from list(self.problems.items())[:MOST_TOLD]


def forecast(
    items: Sequence[Item],
    settings: EnhanceSettings,
    traits: ModelTraits,
    machine: Machine,
    *,
    sample: int,
    progress: Progress,
) -> Forecast:
    """Return what there is to do.

    Args:
        items: of the fleet.
        settings: of all of them.
        traits: of the model.
        machine: of each worker.
        sample: how many clips to look at, at most.
        progress: told of each clip.

    Raises:
        InputError: none of them is a clip.
    """
    clips = [item for item in items if not item.skipped]
    count = min(sample, len(clips))
    looked_at = [clips[len(clips) * number // count] for number in range(count)]
    progress.start(count, "look at clips")
    plans: list[EnhancePlan] = []
    problems: dict[str, str] = {}
    no_clips = 0
    with ThreadPoolExecutor(threads_each(1)) as threads:
        planned = threads.map(lambda one: _plan(one, settings, traits, machine), looked_at)
        for item, found in zip(looked_at, planned, strict=True):
            progress.advance()
            if isinstance(found, EnhancePlan):
                plans.append(found)
            elif item.may_be_no_clip:
                no_clips += 1
            else:
                problems[item.id] = found
    if not plans:
        reason = next(iter(problems.values()), f"none is called as videos are: {', '.join(sorted(VIDEOS))}")
        raise InputError(f"none of {count:,} clips can be used; {reason}")
    share = len(clips) / count
    return Forecast(
        clips=len(clips) - round(no_clips * share),
        looked_at=count - no_clips,
        frames=round(share * sum(plan.frames for plan in plans)),
        flops=share * sum(plan.estimate.network_flops for plan in plans),
        memory=max(plan.footprint.total for plan in plans),
        problems=problems,
    )


def _plan(item: Item, settings: EnhanceSettings, traits: ModelTraits, machine: Machine) -> EnhancePlan | str:
    """Return the plan of an item, or why there is none."""
    store, name = open_file_at(item.source)
    try:
        own = settings_of(item, settings)
        with tempfile.TemporaryDirectory() as folder:
            path = store.local(name) if store.is_local else Path(folder) / Path(name).name
            if not store.is_local:
                store.fetch(name, path)
            clip = inspect(path, is_part=own.end is not None, keep_damaged=own.keep_damaged)
            return make_plan(replace(clip, path=Path(item.source)), own, traits, machine=machine)
    except (InputError, SettingsError, OSError) as error:
        return str(error)
