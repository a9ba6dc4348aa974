"""Films under way that were divided: which of their shares are left, and what became of the rest."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from venhancer.fleet.items import Outcome


@dataclass(slots=True)
class Film:
    """A film that was divided.

    Args:
        key: of the item.
        shares: what orders say of each share, by their keys.
        left: keys of the shares that are not made yet.
        out: keys of those that are given out.
        failure: of one of them, which is that of the film.
        interruptions: of each share, by keys.
    """

    key: str
    shares: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    out: set[str] = field(default_factory=set)
    failure: Outcome | None = None
    interruptions: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, outcome: Outcome) -> "Film":
        """Return the film that an order was found to be."""
        count = len(outcome.facts["shares"])
        shares: dict[str, Mapping[str, Any]] = {
            f"{outcome.key}-{number}": {"key": outcome.key, "number": number, **outcome.facts}
            for number in range(count)
        }
        return cls(outcome.key, shares, set(shares))

    @property
    def waiting(self) -> list[str]:
        """Keys of the shares that nobody is at, in order."""
        return [key for key in self.shares if key in self.left and key not in self.out]

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be waited for: one share has failed, and no other is given out."""
        return self.failure is not None and not self.out
