"""The engine of a Ray cluster: an actor for each worker, of which only orders and outcomes travel, never pixels.

An actor supervises a process on its own machine, as the local engine does, so a clip that crashes costs that process
and no actor. Pools of GPU actors do not scale by themselves in Ray, so the least and the most number are told: the most
are asked for, and the run begins when the least are there. An actor that is lost with its machine is replaced.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from venhancer.errors import JobFailed, SettingsError
from venhancer.fleet.engine import Report
from venhancer.fleet.items import Order, Outcome
from venhancer.fleet.supervision import Supervisor
from venhancer.fleet.worker import Setup

LOST = "its worker, or the machine under it, was lost"
STARTING = 3600.0  # seconds in which the least number of workers must come up; machines may have to be rented first
STILLBORN = 3  # workers a place that may die before they are ready, one after the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """How many workers there are to be in a cluster, and what each needs.

    Args:
        least: without which a run does not begin.
        most: that are asked for.
        gpus: of each; a share of one is allowed.
        cpus: of each.
        resources: of each, by the cluster's own names, such as {"H200": 1}.
        runtime_env: of each, as Ray takes it: env_vars, pip, working_dir and so on.
    """

    least: int = 1
    most: int = 1
    gpus: float = 0.0
    cpus: float = 1.0
    resources: Mapping[str, float] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] = field(default_factory=dict)


class RayWorker:
    """What runs as an actor: a supervisor, and who asks it to stop.

    Args:
        setup: of the worker.
        time_limit: see `Supervisor`.
    """

    def __init__(self, setup: Mapping[str, Any], time_limit: float) -> None:
        self.supervisor = Supervisor(Setup.from_json(setup), time_limit=time_limit)

    def ready(self) -> bool:
        """Return when the actor is up."""
        return True

    def do(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Do an order and return its outcome."""
        return self.supervisor.do(Order.from_json(order)).to_json()

    def stop(self) -> None:
        """Ask the process to stop after this segment."""
        self.supervisor.stop()


class _Task(NamedTuple):
    """What an actor is at: an order, or None while it comes up."""

    actor: Any
    order: Order | None


class RayEngine:
    """Workers in a Ray cluster.

    Args:
        setup: of the workers.
        pool: how many, and what each needs.
        address: of the cluster: "auto", "ray://host:10001", "host:6379"; None starts one on this machine.
        time_limit: see `Supervisor`.
        starting: seconds in which the least number of workers must come up.

    Raises:
        SettingsError: Ray is not installed.
        JobFailed: the cluster does not answer, or too few workers come up.
    """

    def __init__(
        self, setup: Setup, pool: Pool, *, address: str | None, time_limit: float, starting: float = STARTING
    ) -> None:
        self.ray = _import_ray()
        self.setup, self.pool, self.time_limit = setup, pool, time_limit
        self.is_own = not self.ray.is_initialized()
        if self.is_own:
            _connect(self.ray, address)
        self._tasks: dict[Any, _Task] = {}
        self._idle: list[Any] = []
        self._stillborn, self._is_stopping = 0, False
        try:
            for _ in range(pool.most):
                self._add_worker()
            self._await_least(starting)
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> int:
        """How many are up."""
        return len(self._idle) + sum(task.order is not None for task in self._tasks.values())

    @property
    def free(self) -> int:
        """How many of them are at nothing."""
        return len(self._idle)

    def give_out(self, order: Order) -> None:
        """Have an order done by a worker that is free."""
        actor = self._idle.pop()
        self._tasks[actor.do.remote(order.to_json())] = _Task(actor, order)

    def reports(self, seconds: float) -> list[Report]:
        """Return what became of orders, waiting up to so long for the first; take in who came up or was lost.

        Raises:
            JobFailed: the cluster is gone, or workers die as soon as they are up.
        """
        if not self._tasks:
            return []
        try:
            ended, _ = self.ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
            if not ended:
                ended, _ = self.ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        except Exception as error:
            raise JobFailed(
                f"lost the Ray cluster ({_one_line(error)}); run the same command again to resume"
            ) from error
        return [report for ref in ended if (report := self._take(ref)) is not None]

    def rest(self) -> None:
        """Let workers go that are free, but for the least number: nothing is waiting for them."""
        while self._idle and self.workers > max(self.pool.least, 1):
            self.ray.kill(self._idle.pop())
        for ref in [ref for ref, task in self._tasks.items() if task.order is None]:
            self.ray.kill(self._tasks.pop(ref).actor)

    def stop(self) -> None:
        """Ask all workers to stop after their segment."""
        self._is_stopping = True
        for task in self._tasks.values():
            if task.order is not None:
                task.actor.stop.remote()

    def close(self) -> None:
        """End all workers, and leave the cluster."""
        for actor in (*self._idle, *(task.actor for task in self._tasks.values())):
            with suppress(Exception):
                self.ray.kill(actor)
        self._idle, self._tasks = [], {}
        if self.is_own:
            self.ray.shutdown()

    def _take(self, ref: Any) -> Report | None:  # noqa: ANN401 - Ray's own
        """Take in how a task ended, and return what there is to tell of its order."""
        actor, order = self._tasks.pop(ref)
        try:
            value = self.ray.get(ref)
        except Exception as error:  # the actor, its machine or its environment
            with suppress(Exception):
                self.ray.kill(actor)
            self._replace(order, error)
            return None if order is None else Outcome(key=order.key, end="interrupted", reason=LOST)
        self._idle.append(actor)
        if order is None:
            return None
        self._stillborn = 0
        return Outcome.from_json(value)

    def _replace(self, order: Order | None, error: Exception) -> None:
        """Ask for another worker in place of one that was lost.

        Raises:
            JobFailed: none lives to do anything.
        """
        self._stillborn += order is None
        if self._stillborn >= STILLBORN * self.pool.most:
            raise JobFailed(f"workers die before they are up ({_one_line(error)}); see `ray status` and Ray's logs")
        if not self._is_stopping:
            self._add_worker()

    def _add_worker(self) -> None:
        options = {
            "num_cpus": self.pool.cpus,
            "num_gpus": self.pool.gpus,
            "resources": dict(self.pool.resources) or None,
            "runtime_env": dict(self.pool.runtime_env) or None,
            "max_restarts": 0,
            "max_concurrency": 2,  # so that it can be asked to stop
            "scheduling_strategy": "SPREAD",
        }
        actor = self.ray.remote(RayWorker).options(**options).remote(self.setup.to_json(), self.time_limit)
        self._tasks[actor.ready.remote()] = _Task(actor, None)

    def _await_least(self, starting: float) -> None:
        until = time.monotonic() + starting
        while self.workers < self.pool.least:
            if time.monotonic() > until:
                up = f"{self.workers} of {self.pool.least} workers came up in {starting:g} s"
                raise JobFailed(f"only {up}; `ray status` tells what the cluster lacks")
            self.reports(1.0)


def _import_ray() -> Any:  # noqa: ANN401 - a module
    try:
        import ray
    except ImportError as error:
        raise SettingsError("the engine ray needs Ray; run pip install 'venhancer[ray]'") from error
    return ray


def _connect(ray: Any, address: str | None) -> None:  # noqa: ANN401 - a module
    try:
        ray.init(address=address, namespace="venhancer", log_to_driver=False, logging_level="warning")
    except (ConnectionError, RuntimeError, OSError, ValueError) as error:
        where = f"no Ray cluster answers at {address}" if address else "Ray does not start"
        raise JobFailed(f"{where} ({_one_line(error)}); see `ray status`, or start one with `ray start`") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
