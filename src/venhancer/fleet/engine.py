"""What an engine is: workers that take orders and report, wherever they are."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from venhancer.fleet.items import Order, Outcome

Report = Outcome | Mapping[str, Any]
"""What became of an order, or how one goes on: `order` (its key), `what` and, of a stage, `steps` and `total`."""


@runtime_checkable
class Engine(Protocol):
    """Workers. A run gives out no more orders than are `free`."""

    @property
    def workers(self) -> int:
        """How many there are now."""
        ...

    @property
    def free(self) -> int:
        """How many orders can be given out now."""
        ...

    def give_out(self, order: Order) -> None:
        """Have an order done by a worker."""
        ...

    def reports(self, seconds: float) -> list[Report]:
        """Return what there is to tell, waiting up to so long for it.

        Raises:
            JobFailed: the engine itself is gone.
        """
        ...

    def rest(self) -> None:
        """Take in that nothing is waiting, so that workers who are free may be let go."""
        ...

    def stop(self) -> None:
        """Ask all workers to stop at the next good moment."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...
