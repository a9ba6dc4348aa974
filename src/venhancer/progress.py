"""How long work reports progress: the caller brings an object; the library knows no bar and no log."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")


@runtime_checkable
class Progress(Protocol):
    """What long functions call; the command line, the page and the fleet each bring their own."""

    def start(self, total: int, what: str) -> None:
        """Begin a stage of `total` steps with a name."""
        ...

    def advance(self) -> None:
        """Mark one step of the current stage as done."""
        ...


class SilentProgress:
    """Says nothing."""

    def start(self, total: int, what: str) -> None:
        """Begin a stage, silently."""

    def advance(self) -> None:
        """Mark one step, silently."""


SILENT = SilentProgress()


def track(items: Iterable[Item], total: int, what: str, progress: Progress) -> Iterator[Item]:
    """Yield `items`, telling `progress` after each one is done with."""
    progress.start(total, what)
    for item in items:
        yield item
        progress.advance()
