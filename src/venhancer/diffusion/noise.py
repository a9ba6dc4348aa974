"""The noise a frame starts from: the same in any window, segment or device."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

POSTERIOR_NOISE, START_NOISE, KEY_FRAME_NOISE, STEP_NOISE = -1, 0, 1, 2
"""Draws of one output frame; those of later solver steps follow."""

DrawNoise: TypeAlias = Callable[[int, int, Sequence[int], int], Float[Tensor, "..."]]
"""Return unit noise by seed, number of the output frame, shape and draw, as `frame_noise` does."""


def frame_noise(seed: int, frame_index: int, shape: Sequence[int], draw: int = 0) -> Float[Tensor, "..."]:
    """Return noise of one output frame, which depends on the seed, the frame's number in the clip and the draw only.

    So a frame starts from the same noise whatever window, segment or device it is computed in (drawn on the CPU in
    float32).

    Args:
        seed: any integer.
        frame_index: number of the frame in the whole output.
        shape: of the frame's latents.
        draw: which of the frame's noises, from 0.
    """
    digest = hashlib.blake2b(f"{seed}:{frame_index}:{draw}".encode(), digest_size=8).digest()
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest, "little"))
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)
