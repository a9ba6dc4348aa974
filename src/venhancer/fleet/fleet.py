"""From what a user names to a run: the page to read first of this room.

A manifest gives items, the folder of outputs is claimed for the job, and a run gives the items to the workers of an
engine. The ledger in that folder is all the memory there is: the same call resumes, here or on another machine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from venhancer.fleet.engine import Engine
from venhancer.fleet.items import Item
from venhancer.fleet.job_folder import claim_folder, describe_job
from venhancer.fleet.ledger import State
from venhancer.fleet.manifest import read_manifest, settings_of, shard_of
from venhancer.fleet.run import Policy, Run, Watcher
from venhancer.fleet.stores import Store
from venhancer.settings import EnhanceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Items that were checked, and the folder that is theirs.

    Args:
        items: in the order they are given out.
        job: its fingerprint.
        weights: fingerprint of the model's files.
        settings: of all items.
        out: the folder of outputs.
    """

    items: Sequence[Item]
    job: str
    weights: str
    settings: EnhanceSettings
    out: Store

    def run(
        self,
        make_engine: Callable[[], Engine],
        *,
        policy: Policy,
        watcher: Watcher,
        stop: Callable[[], bool] = lambda: False,
    ) -> dict[str, State]:
        """Do all due items, and return the state of each by its id.

        Raises:
            JobFailed: no worker can do anything.
            Stopped: `stop` requested it; the same call resumes.
        """
        work = Run(self.items, self.job, self.out, settings=self._settings, policy=policy, watcher=watcher, stop=stop)
        return work.do(make_engine)

    def _settings(self, item: Item) -> dict[str, Any]:
        return settings_of(item, self.settings).model_dump(mode="json", exclude_defaults=True)


def open_fleet(
    given: str,
    out: str | None,
    settings: EnhanceSettings,
    *,
    prompts: str | None = None,
    column: str = "prompt",
    shard: str | None = None,
    overwrite: bool = False,
    keep_order: bool = False,
) -> Fleet:
    """Return a checked fleet.

    Args:
        given: address of a folder, a pattern, or a file of JSON lines; likewise the rest, see `read_manifest`.
        out: address of the folder of outputs.
        settings: of all items.
        prompts: address of a table of prompts.
        column: of that table.
        shard: "i/n" for every n-th item from the i-th on.
        overwrite: take the folder over from another job.
        keep_order: give items out by name, not by size.

    Raises:
        InputError: listing all that is wrong; or another job's outputs are in the folder.
        SettingsError: a setting cannot be, or the shard.
        WeightsError: the model does not exist.
        StoreFailed: a store does not answer.
    """
    job: dict[str, Any] = describe_job(settings)
    manifest = read_manifest(given, out, settings, prompts=prompts, column=column)
    items = shard_of(manifest.items, shard)
    fingerprint = claim_folder(manifest.out, job, overwrite=overwrite)
    items = items if keep_order else by_size(items)
    return Fleet(items=items, job=fingerprint, weights=job["model"], settings=settings, out=manifest.out)


def by_size(items: Sequence[Item]) -> list[Item]:
    """Return the items with those of one folder and kind together, large ones first, so that none is left for the end.

    Clips of one folder mostly have one size, so a worker goes from one to the next with blocks of memory that fit.
    Frame sizes are not looked at: that takes a process a clip.
    """
    return sorted(items, key=lambda item: (*_kind(item), -item.bytes, item.id))


def _kind(item: Item) -> tuple[str, str]:
    folder, _, name = item.source.rpartition("/")
    return folder, name.rpartition(".")[2].lower()
