"""The work of image autoencoders of Stable Diffusion's shape, layer by layer. No torch.

There are four levels, each half as large as the one before, with 1, 2, 4 and 4 times the first width, which is half of
`ModelTraits.autoencoder_width`. A temporal decoder has, beside each residual block, one over three frames.
"""

from collections.abc import Iterator

from venhancer.model_files.network_shape import Grid
from venhancer.planning.estimate import ELEMENTWISE, Product

MULTS = (1, 2, 4, 4)
BLOCKS = 2  # a level of the encoder; the decoder has one more
ENCODE, DECODE = "encode", "decode"
TINY_WIDTH = 64


def encoding(width: int, latent_channels: int, height: int, columns: int) -> Iterator[Product]:
    """Yield the layers that encode a frame to `height` x `columns` latents."""
    first, *_, last = widths = [mult * width // 2 for mult in MULTS]
    yield _convolution(ENCODE, _grid(height, columns, 3), 3, first)
    entering = first
    for level, leaving in enumerate(widths):
        grid = _grid(height, columns, 3 - level)
        for _ in range(BLOCKS):
            yield from _residual(ENCODE, grid, entering, leaving)
            entering = leaving
        if level < 3:
            yield _convolution(ENCODE, _grid(height, columns, 2 - level), leaving, leaving)
    smallest = _grid(height, columns, 0)
    yield from _middle(ENCODE, smallest, last)
    yield _convolution(ENCODE, smallest, last, 2 * latent_channels)


def decoding(width: int, latent_channels: int, height: int, columns: int, *, temporal: bool) -> Iterator[Product]:
    """Yield the layers that decode a frame of `height` x `columns` latents."""
    widths = [mult * width // 2 for mult in reversed(MULTS)]
    smallest, entering = _grid(height, columns, 0), widths[0]
    yield _convolution(DECODE, smallest, latent_channels, entering)
    yield from _middle(DECODE, smallest, entering, temporal=temporal)
    for level, leaving in enumerate(widths):
        grid = _grid(height, columns, level)
        for _ in range(BLOCKS + 1):
            yield from _residual(DECODE, grid, entering, leaving, temporal=temporal)
            entering = leaving
        if level < 3:
            yield _convolution(DECODE, _grid(height, columns, level + 1), leaving, leaving)
    yield _convolution(DECODE, _grid(height, columns, 3), entering, 3)
    if temporal:
        yield _linear(DECODE, _grid(height, columns, 3), 3, 3, taps=3)


def tiny_decoding(height: int, columns: int, *, remembers: bool = True) -> Iterator[Product]:
    """Yield the layers of a tiny decoder, 64 wide throughout; of whole pictures of so many latents."""
    yield _convolution(DECODE, _grid(height, columns, 0), 4, TINY_WIDTH)
    for level in range(4):
        grid = _grid(height, columns, level)
        for _ in range(3 if level < 3 else 1):
            yield _convolution(DECODE, grid, TINY_WIDTH * (2 if remembers else 1), TINY_WIDTH)
            for _ in range(2):
                yield _convolution(DECODE, grid, TINY_WIDTH, TINY_WIDTH)
            yield Product(DECODE, ELEMENTWISE, 0, grid.tokens * 9 * TINY_WIDTH)
        if level < 3:
            yield _convolution(DECODE, _grid(height, columns, level + 1), TINY_WIDTH, TINY_WIDTH)
    yield _convolution(DECODE, _grid(height, columns, 3), TINY_WIDTH, 3)


def _grid(height: int, columns: int, doublings: int) -> Grid:
    return Grid(1, height * 2**doublings, columns * 2**doublings)


def _linear(part: str, grid: Grid, entering: int, leaving: int, *, taps: int = 1) -> Product:
    weights = taps * entering * leaving
    return Product(part, "convolutions", grid.tokens * weights, grid.tokens * (entering + leaving) + weights)


def _convolution(part: str, grid: Grid, entering: int, leaving: int) -> Product:
    return _linear(part, grid, entering, leaving, taps=9)


def _residual(part: str, grid: Grid, entering: int, leaving: int, *, temporal: bool = False) -> Iterator[Product]:
    yield _convolution(part, grid, entering, leaving)
    yield _convolution(part, grid, leaving, leaving)
    if entering != leaving:
        yield _linear(part, grid, entering, leaving)
    yield Product(part, ELEMENTWISE, 0, grid.tokens * (4 * entering + 7 * leaving))  # two norms, activations, the sum
    if temporal:
        for _ in range(2):
            yield _linear(part, grid, leaving, leaving, taps=3)
        yield Product(part, ELEMENTWISE, 0, grid.tokens * 14 * leaving)  # the same, and both blended


def _middle(part: str, grid: Grid, width: int, *, temporal: bool = False) -> Iterator[Product]:
    yield from _residual(part, grid, width, width, temporal=temporal)
    for _ in range(4):
        yield _linear(part, grid, width, width)
    yield Product(part, "attention", 2 * grid.tokens**2 * width, 4 * grid.tokens * width)
    yield from _residual(part, grid, width, width, temporal=temporal)
