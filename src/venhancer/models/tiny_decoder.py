"""A small decoder of Stable Diffusion's latents that the user brings: TAESD's shape, or TAESDV's with its memory.

Both are three levels of three blocks, 64 wide, and a last block at full size. In TAESDV's (Bohan 2024, "Tiny
AutoEncoder for Stable Diffusion Videos") every block also sees what it was given one frame earlier, which the first
frame of a shot does without. So a frame depends on the `REACH` latents before it and on nothing else: whoever has those
can continue anywhere, with the same result to the last bit.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from venhancer.windows import Tile

WIDTH, LEVELS, BLOCKS_A_LEVEL = 64, 3, 3
REACH = LEVELS * BLOCKS_A_LEVEL + 1
"""Blocks with a memory, each of which reaches one frame further back."""
LATENT_RANGE = 3.0
"""Latents are squeezed into this range, either way."""


class TinyDecoder(nn.Module):
    """Decodes latents of four channels at eight times their size.

    Args:
        remembers: whether blocks see the frame before.
    """

    def __init__(self, *, remembers: bool) -> None:
        super().__init__()
        self.remembers = remembers
        layers: list[nn.Module] = [_Squeeze(), _conv(4, WIDTH), nn.ReLU()]
        for _ in range(LEVELS):
            layers += [_Block(remembers=remembers) for _ in range(BLOCKS_A_LEVEL)]
            layers += [nn.Upsample(scale_factor=2), _conv(WIDTH, WIDTH, bias=False)]
        layers += [_Block(remembers=remembers), _conv(WIDTH, 3)]
        self.decoder = nn.Sequential(*layers)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """Return a decoder of these weights, named as in TAESD's or TAESDV's files.

        Raises:
            RuntimeError: a name or shape is another.
        """
        prefix = "decoder." if any(name.startswith("decoder.") for name in weights) else ""
        own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        first = own.get("3.conv.0.weight")
        decoder = cls(remembers=first is not None and first.ndim > 1 and first.shape[1] == 2 * WIDTH)
        decoder.decoder.load_state_dict(own)
        return decoder.eval()

    def decode_each(
        self,
        latents: Float[Tensor, "1 4 f h w"],
        boundary: Float[Tensor, "n 4 h w"] | None = None,
        *,
        tiles: Sequence[Tile] = (),  # noqa: ARG002 - whole pictures, which it takes little memory for
    ) -> Iterator[Float[Tensor, "3 h2 w2"]]:
        """Yield the frames of a clip, about in [-1, 1], one at a time.

        Args:
            latents: of the clip, or of its next part.
            boundary: the last latents of the part before, up to `REACH`; None at the beginning of a shot.
            tiles: of pictures; not needed.
        """
        memory: list[Tensor] | None = None
        led = [] if boundary is None or not self.remembers else list(boundary.split(1))
        weight = next(self.parameters())
        for number, latent in enumerate([*led, *latents[0].movedim(1, 0).split(1)]):
            frame, memory = self._decode(latent.to(weight.dtype), memory)
            if number >= len(led):
                yield frame[0].float() * 2 - 1

    def lead(
        self, latents: Float[Tensor, "1 4 f h w"], boundary: Float[Tensor, "n 4 h w"] | None
    ) -> Float[Tensor, "n2 4 h w"]:
        """Return the `boundary` of the part that follows some latents."""
        frames = latents[0].movedim(1, 0)
        return (frames if boundary is None else torch.cat([boundary, frames]))[-REACH:]

    def _decode(self, x: Float[Tensor, "1 4 h w"], memory: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Return a frame in [0, 1], and what its blocks were given."""
        given, earlier = list[Tensor](), iter(memory or ())
        for layer in self.decoder:
            if isinstance(layer, _Block) and self.remembers:
                given.append(x)
                x = layer(torch.cat([x, next(earlier, torch.zeros_like(x))], dim=1), x)
            else:
                x = layer(x)
        return x, given


class _Squeeze(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return LATENT_RANGE * torch.tanh(x / LATENT_RANGE)


class _Block(nn.Module):
    """Three convolutions around which the input is added; its own name is that of the files."""

    def __init__(self, *, remembers: bool) -> None:
        super().__init__()
        entering = 2 * WIDTH if remembers else WIDTH
        self.conv = nn.Sequential(
            _conv(entering, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH)
        )

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        return torch.relu(self.conv(x) + (x if added is None else added))


def _conv(entering: int, leaving: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(entering, leaving, 3, padding=1, bias=bias)
