"""Which stretch of a source an output shows, and how times move from one clock to the other."""

from fractions import Fraction
from typing import NamedTuple


class Span(NamedTuple):
    """The stretch of the source that an output shows.

    Args:
        start: seconds on the source's clock at which the output begins.
        end: seconds on the same clock, None for all there is.
        slow: how many times longer the output is.
        is_cut: whether anything before `start` was asked to be left out.
    """

    start: Fraction
    end: Fraction | None = None
    slow: Fraction = Fraction(1)
    is_cut: bool = False

    def moved(self, seconds: Fraction) -> Fraction:
        """Return a time of the source on the output's clock."""
        return (seconds - self.start) * self.slow
