"""The engine of `venhancer enhance FOLDER`: one worker, in the process of the run itself, with a model loaded once."""

from collections import deque
from collections.abc import Callable

from venhancer.fleet.engine import Report
from venhancer.fleet.items import Order
from venhancer.fleet.worker import Craft, Setup, Worker
from venhancer.progress import Progress


class InProcessEngine:
    """A worker that does an order when it is asked for reports.

    Args:
        setup: of the worker.
        load: gives what makes outputs; called once, before the first order.
        stop: called after each segment; True stops there.
        progress: advanced by every evaluation of the networks.
    """

    def __init__(
        self, setup: Setup, load: Callable[[], Craft], *, stop: Callable[[], bool], progress: Progress
    ) -> None:
        self.worker = Worker(setup, load(), stop=stop, progress=progress)
        self._orders: deque[Order] = deque()

    @property
    def workers(self) -> int:
        """One."""
        return 1

    @property
    def free(self) -> int:
        """Whether there is no order."""
        return 1 - len(self._orders)

    def give_out(self, order: Order) -> None:
        """Take an order."""
        self._orders.append(order)

    def reports(self, seconds: float) -> list[Report]:  # noqa: ARG002 - there is nothing to wait for
        """Do the order, and return what became of it."""
        return [self.worker.do(self._orders.popleft())] if self._orders else []

    def rest(self) -> None:
        """Nothing: there is one worker."""

    def stop(self) -> None:
        """Nothing: the worker asks by itself."""

    def close(self) -> None:
        """Nothing: the model goes with the process."""
