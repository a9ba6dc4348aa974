"""Checkpoints of a run on disk: written while training continues, whole or not at all.

A checkpoint is a folder of `torch.distributed.checkpoint`, so that any number of processes writes it together and any
other number reads it. It is written beside its place and renamed when the last byte is on the disk.
"""

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import torch.distributed as dist
from filelock import Timeout
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import AsyncSaveResponse, async_save

from venhancer.durable import locked, remove_partials
from venhancer.errors import InputError, JobFailed
from venhancer.media.source import failures_as
from venhancer.training.state import TrainState

LOCK = ".lock"
_PREFIX = "step_"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are.
        keep: how many of the newest are kept.
        keep_every: those of steps that this divides are kept as well.
        is_main: whether this process renames and removes; one of all does.
    """

    def __init__(self, folder: Path, *, keep: int, keep_every: int | None, is_main: bool) -> None:
        self.folder, self.keep, self.keep_every, self.is_main = folder, keep, keep_every, is_main
        self._is_alone = not dist.is_initialized()
        # its own group: what the writing thread exchanges must not meet what training exchanges
        self._group = None if self._is_alone else cast("dist.ProcessGroup", dist.new_group(backend="gloo"))
        self._publisher = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[None] | None = None
        self._newest: int | None = None  # step of the newest one, known to every process without asking the disk

    def save(self, state: TrainState) -> None:
        """Start writing a checkpoint of the current state; training may continue at once.

        Raises:
            JobFailed: the checkpoint before could not be written.
        """
        self.settle()
        if state.step == self._newest:
            return
        target = self.folder / f"{_PREFIX}{state.step:08d}"
        partial = self.folder / f".{target.name}.part"
        self.folder.mkdir(parents=True, exist_ok=True)
        writing = async_save(state.content(), checkpoint_id=partial, process_group=self._group, no_dist=self._is_alone)
        self._pending = self._publisher.submit(self._publish, writing, partial, target)
        self._newest = state.step

    def settle(self, *, wait: bool = True) -> None:
        """Finish what was begun to be written; without `wait`, only if it is done.

        Raises:
            JobFailed: it could not be written; the checkpoints before are as they were.
        """
        if self._pending is None or not (wait or self._pending.done()):
            return
        pending, self._pending = self._pending, None
        try:
            pending.result()
        except (CheckpointException, OSError, RuntimeError) as error:
            raise self._not_written(error) from error

    def resume(self, state: TrainState) -> bool:
        """Load the newest checkpoint, if there is one; tell whether there was.

        Raises:
            JobFailed: it is of another network, or damaged.
        """
        for stale in self.folder.glob(f".{_PREFIX}*.part") if self.is_main else ():
            shutil.rmtree(stale)
        newest = self._agreed_newest()
        if newest is None:
            return False
        content = state.content()
        try:
            reader = FileSystemReader(newest)
            difference = _first_difference(reader.read_metadata().state_dict_metadata, content)
            if difference is None:
                load(content, storage_reader=reader, process_group=self._group, no_dist=self._is_alone)
        except (Exception, CheckpointException) as error:  # a damaged file can raise anything, and the second is none
            raise JobFailed(f"{newest} is damaged ({_line(error)}); remove it to resume from the one before") from error
        if difference is not None:
            remedy = "restore the settings, or set another output"
            raise JobFailed(f"{newest} belongs to another network ({difference}); {remedy}")
        state.adopt(content)
        self._newest = state.step
        return True

    def by_step(self) -> dict[int, Path]:
        """Return the whole checkpoints by their step, oldest first, once what was begun is written."""
        self.settle()
        return {_step_of(folder): folder for folder in list_checkpoints(self.folder)}

    def _agreed_newest(self) -> Path | None:
        """Return the newest checkpoint that the first process sees: what others see of its disk may be older."""
        newest = list_checkpoints(self.folder)[-1:]
        if not self._is_alone:
            names = [folder.name for folder in newest] or [None]
            dist.broadcast_object_list(names, src=0, group=self._group)
            newest = [self.folder / name for name in names if name is not None]
        return newest[0] if newest else None

    def _publish(self, writing: Future[Any] | AsyncSaveResponse, partial: Path, target: Path) -> None:
        """Give a checkpoint its name when all of it is on the disk, and remove those no longer kept."""
        try:
            (writing.upload_completion if isinstance(writing, AsyncSaveResponse) else writing).result()
        except BaseException:
            if self.is_main:
                shutil.rmtree(partial, ignore_errors=True)
            raise
        if not self.is_main:
            return
        partial.rename(target)
        for old in list_checkpoints(self.folder)[: -self.keep]:
            if self.keep_every is None or _step_of(old) % self.keep_every:
                shutil.rmtree(old)

    def _not_written(self, error: BaseException) -> JobFailed:
        whole = list_checkpoints(self.folder)
        last = f"{whole[-1]} stays" if whole else "there was none before"
        if isinstance(error, CheckpointException):  # of several processes, what went wrong in the first of them
            error = next(iter(error.failures.values()))[0]
        remedy = f"{last}: free some space and run the command again"
        return JobFailed(f"a checkpoint could not be written ({_line(error)}); {remedy}")


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keep other runs out of a run's folder; the system lets them in when the process ends, however it ends.

    Raises:
        InputError: another run is at work there, or it cannot be made.
    """
    with ExitStack() as stack:
        with failures_as(InputError, f"{folder} cannot be created; choose a writable folder"):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(locked(folder / LOCK))
            except Timeout as error:
                raise InputError(f"another run is training in {folder}; wait for it, or set another output") from error
        remove_partials(folder)
        yield


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the whole checkpoints of a run, oldest first."""
    return sorted(folder.glob(f"{_PREFIX}*"))


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _first_difference(metadata: Mapping[str, Any], content: Mapping[str, Any]) -> str | None:
    """Say where the weights in a checkpoint differ in name or shape from those that learn; None if nowhere."""
    shapes = {f"weights.{name}": value.shape for name, value in content["weights"].items()}
    stored_shapes = {
        name: value.size
        for name, value in metadata.items()
        if name.startswith("weights.") and isinstance(value, TensorStorageMetadata)
    }
    for name in sorted(shapes.keys() | stored_shapes.keys()):
        here, there = shapes.get(name), stored_shapes.get(name)
        if here != there:
            sizes = ["x".join(map(str, shape)) if shape is not None else "missing" for shape in (there, here)]
            return f"{name.removeprefix('weights.')} is {sizes[0]} there and {sizes[1]} here"
    return None
