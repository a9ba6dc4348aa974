"""What a metric is, and what it may look at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from inspect import signature
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from venhancer.evaluation.degrade import enlarge_and_hold
from venhancer.frames.levels import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measure and how to read it.

    Args:
        name: in tables and on the command line.
        measure: takes what `takes` names, in that order, and returns a number.
        takes: fields of `Subject`, of the weights its own; a metric that takes the reference needs one.
        what: one sentence for tables and pages.
        higher_is_better: whether more is better.
        unit: as shown in tables; empty for a pure number.
        packages: modules that must be importable, each of the extra `evaluate`.
        version: raised when its numbers change, so that scores kept from before are not used.
        weights_of: the metric or program whose weights it takes; its own name if empty.
    """

    name: str
    measure: Callable[..., float]
    takes: tuple[str, ...]
    what: str
    higher_is_better: bool
    unit: str = ""
    packages: tuple[str, ...] = ()
    version: int = 1
    weights_of: str = ""

    def __call__(self, *subject: object) -> float:
        """Return what it measures on values of what it takes."""
        return float(self.measure(*subject))

    @property
    def label(self) -> str:
        """Its name among scores on disk."""
        return f"{self.name}.{self.version}"

    @property
    def needs_reference(self) -> bool:
        """Whether it compares with the truth."""
        return "reference" in self.takes

    @property
    def needs_weights(self) -> bool:
        """Whether the user must name a file or folder of weights."""
        return "weights" in self.takes

    @property
    def weights_key(self) -> str:
        """What its weights are called among those of the user."""
        return self.weights_of or self.name

    @property
    def arrow(self) -> str:
        """Which way is better, as shown beside the name."""
        return "↑" if self.higher_is_better else "↓"


def metric(
    what: str,
    *,
    higher_is_better: bool,
    unit: str = "",
    packages: tuple[str, ...] = (),
    version: int = 1,
    weights_of: str = "",
) -> Callable[[Callable[..., float]], Metric]:
    """Make a function a metric of its name; its parameters name what it takes of a `Subject`. See `Metric`."""

    def named(measure: Callable[..., float]) -> Metric:
        return Metric(
            name=measure.__name__,
            measure=measure,
            takes=tuple(signature(measure).parameters),
            what=what,
            higher_is_better=higher_is_better,
            unit=unit,
            packages=packages,
            version=version,
            weights_of=weights_of,
        )

    return named


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a metric may look at.

    Args:
        result: the frames to judge, RGB.
        reference: the true frames, of the same shape; None if there are none.
        source: the frames the result was made from: key frames, as a contender was given them.
        factor: how many output frames there are to each of the source's.
        rate: of the result, in frames a second.
        weights: files, folders or programs that the user named, by metric.
    """

    result: Frames
    reference: UInt8[np.ndarray, "f2 h2 w2 3"] | None = None
    source: UInt8[np.ndarray, "k h3 w3 3"] | None = None
    factor: int = 1
    rate: Fraction = Fraction(24)
    weights: Mapping[str, Path] = field(default_factory=dict)

    @property
    def guide(self) -> Frames | None:
        """The clip motion is read from: the truth, else the source if it has every moment, else None."""
        return self.likeness if self.reference is not None or self.factor == 1 else None

    @property
    def likeness(self) -> Frames | None:
        """What comes nearest to a truth: the truth, else the source at the result's size, each frame held."""
        if self.reference is not None or self.source is None:
            return self.reference
        frames, height, width, _ = self.result.shape
        likeness = enlarge_and_hold(self.source, height, width, self.factor)
        return likeness if self.factor == 1 else likeness[:frames]


def luma(frame: UInt8[np.ndarray, "*f h w 3"] | Float[np.ndarray, "*f h w 3"]) -> Float[np.ndarray, "*f h w"]:
    """Return BT.601 luma, 0 to 255."""
    return frame @ np.array([0.299, 0.587, 0.114])
