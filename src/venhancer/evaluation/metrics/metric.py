"""What a metric is, and what it may look at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from venhancer.evaluation.degrade import resize

Clip = UInt8[np.ndarray, "f h w 3"]
Takes = Literal["result", "reference", "source", "factor", "guide", "likeness", "weights"]
"""What a metric may ask for by name: what `Subject` has, but of the weights its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measure and how to read it.

    Args:
        name: in tables and on the command line.
        measure: takes what `takes` names, in that order, and returns a number.
        takes: fields of `Subject`; a metric that takes the reference cannot be had without one.
        what: one sentence for tables and pages.
        higher_is_better: whether more is better.
        unit: as shown in tables; empty for a pure number.
        packages: modules that must be importable, each of the extra `evaluate`.
        needs_weights: whether the user must name a file or folder of weights.
        version: raised when its numbers change, so that scores kept from before are not used.
    """

    name: str
    measure: Callable[..., float]
    takes: tuple[Takes, ...]
    what: str
    higher_is_better: bool
    unit: str = ""
    packages: tuple[str, ...] = ()
    needs_weights: bool = False
    version: int = 1

    @property
    def label(self) -> str:
        """Its name among kept scores."""
        return f"{self.name}.{self.version}"

    @property
    def needs_reference(self) -> bool:
        """Whether it compares with the truth."""
        return "reference" in self.takes

    @property
    def arrow(self) -> str:
        """Which way is better, as shown beside the name."""
        return "↑" if self.higher_is_better else "↓"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a metric may look at.

    Args:
        result: the frames to judge, RGB.
        reference: the true frames, of the same shape; None if there are none.
        source: the frames the result was made from: key frames, as a contender was given them.
        factor: how many output frames there are to each of the source's.
        weights: files or folders of weights that the user named, by metric.
    """

    result: Clip
    reference: UInt8[np.ndarray, "f2 h2 w2 3"] | None = None
    source: UInt8[np.ndarray, "k h3 w3 3"] | None = None
    factor: int = 1
    weights: Mapping[str, Path] = field(default_factory=dict)

    @property
    def guide(self) -> Clip | None:
        """The clip motion is read from: the truth, else the source if it has every moment, else None."""
        return self.likeness if self.reference is not None or self.factor == 1 else None

    @property
    def likeness(self) -> Clip | None:
        """What comes nearest to a truth: the truth, else the source at the result's size, each frame held."""
        if self.reference is not None or self.source is None:
            return self.reference
        _, height, width, _ = self.result.shape
        large = resize(self.source, height, width, "bicubic")
        return large if self.factor == 1 else np.repeat(large, self.factor, axis=0)[: len(self.result)]


def luma(frame: UInt8[np.ndarray, "*f h w 3"] | Float[np.ndarray, "*f h w 3"]) -> Float[np.ndarray, "*f h w"]:
    """Return BT.601 luma, 0 to 255."""
    return frame @ np.array([0.299, 0.587, 0.114])
