"""What the networks and the autoencoder ask of other devices, if there are any; `venhancer.workers` answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from torch import Tensor

from venhancer.models.controlnet import KeyFrames
from venhancer.models.prompts import Predict, ProjectedText

Item = TypeVar("Item")
Result = TypeVar("Result")
Coding: TypeAlias = Literal["encode", "decode"]


class Spread(Protocol):
    """Spreads the work on a clip over devices."""

    def begin(self, prompts: Sequence[ProjectedText], execution: Mapping[str, Any]) -> None:
        """Get ready for a clip: `execution` holds the arguments of `venhancer.planning.execution.Execution`."""
        ...

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield a function's results in order; it is called for several items at once."""
        ...

    def predict(
        self,
        own: Predict,
        key_frames: KeyFrames,
        noisy_latents: Tensor,
        timesteps: Tensor,
        prompts: Sequence[ProjectedText],
    ) -> Sequence[Tensor]:
        """Return what `own` would, from whichever device is free."""
        ...

    def code(self, own: Callable[[Tensor], Tensor], coding: Coding, part: Tensor) -> Tensor:
        """Return what `own`, the autoencoder's `code_part`, would, from whichever device is free."""
        ...
