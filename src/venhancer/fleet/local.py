"""The engine of one machine: a process for each GPU, or as many as asked for on a processor."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread

from venhancer.errors import SettingsError
from venhancer.fleet.engine import Report
from venhancer.fleet.items import Order, Outcome
from venhancer.fleet.supervision import Supervisor
from venhancer.fleet.worker import Setup
from venhancer.planning.machine import may_have_accelerator


class LocalEngine:
    """Workers on this machine, each in a process of its own that is watched by a thread.

    Args:
        setups: of the workers, one each.
        time_limit: see `Supervisor`.
    """

    def __init__(self, setups: Sequence[Setup], *, time_limit: float) -> None:
        threads = {"OMP_NUM_THREADS": str(threads_each(len(setups)))} if len(setups) > 1 else {}
        self.supervisors = [Supervisor(setup, time_limit=time_limit, environment=threads) for setup in setups]
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._under_way = 0
        self._threads = [Thread(target=self._work, args=(each,), daemon=True) for each in self.supervisors]
        for thread in self._threads:
            thread.start()

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self.supervisors)

    @property
    def free(self) -> int:
        """How many orders can be given out now."""
        return self.workers - self._under_way

    def give_out(self, order: Order) -> None:
        """Have an order done by whichever worker is free."""
        self._under_way += 1
        self._orders.put(order)

    def reports(self, seconds: float) -> list[Report]:
        """Return what there is to tell, waiting so long for the first."""
        found: list[Report] = []
        with contextlib.suppress(Empty):
            found.append(self._reports.get(timeout=seconds))
            while True:
                found.append(self._reports.get_nowait())
        self._under_way -= sum(isinstance(report, Outcome) for report in found)
        return found

    def rest(self) -> None:
        """Nothing: idle processes cost nothing here."""

    def stop(self) -> None:
        """Ask all workers to stop after their segment."""
        for supervisor in self.supervisors:
            supervisor.stop()

    def close(self) -> None:
        """End all workers."""
        for _ in self._threads:
            self._orders.put(None)
        for supervisor in self.supervisors:
            supervisor.close()
        for thread in self._threads:
            thread.join()
        for supervisor in self.supervisors:
            supervisor.forget()

    def _work(self, supervisor: Supervisor) -> None:
        while (order := self._orders.get()) is not None:

            def tell(values: Mapping[str, object], key: str = order.key) -> None:
                self._reports.put({**values, "order": key})

            try:
                outcome = supervisor.do(order, tell)
            except Exception as error:  # nothing that happens here may stop the run
                outcome = Outcome(key=order.key, end="interrupted", reason=f"{type(error).__name__}: {error}")
            self._reports.put(outcome)


def local_setups(setup: Setup, workers: int | None) -> list[Setup]:
    """Return the setups of this machine's workers: one a GPU, or as many as asked for.

    Raises:
        SettingsError: more workers than GPUs were asked for.
    """
    gpus = gpu_count() if setup.device in ("auto", "cuda") else 0
    if gpus:
        if workers is not None and workers > gpus:
            raise SettingsError(f"{workers} workers are more than the {gpus} GPUs; pass --workers {gpus} or less")
        return [replace(setup, device=f"cuda:{number}") for number in range(workers or gpus)]
    return [setup] * (workers or 1)


def gpu_count() -> int:
    """Return how many CUDA devices there are; torch is loaded only where there may be one."""
    if not may_have_accelerator():
        return 0
    import torch

    return torch.cuda.device_count()


def threads_each(workers: int) -> int:
    """Return how many threads each of several workers on one processor gets."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(os.environ.get("OMP_NUM_THREADS", cores)) // workers) if workers > 1 else cores
