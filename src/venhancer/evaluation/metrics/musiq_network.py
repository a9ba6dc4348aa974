"""MUSIQ's network (Ke et al. 2021): a transformer over patches of a picture at three sizes, for any size and shape.

Pictures are made small as in the PyTorch port that the field's scores come from: bicubic without antialiasing, where
the first program has a narrow Gaussian. Empty patches, which that pads with and masks, are left out: the same numbers.
"""

from collections.abc import Mapping
from math import ceil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from venhancer.errors import WeightsError
from venhancer.evaluation.metrics.features import read_tensors

PATCH = 32
GRID = 10
"""Sides of the grid of places: a picture of any size is laid over it."""

LONGER_SIDES = (224, 384)
"""Sizes beside the picture's own."""

WIDTH, HIDDEN, HEADS, BLOCKS, STEM = 384, 1152, 6, 14, 64


class Musiq(nn.Module):
    """Quality of pictures of any size.

    Args:
        blocks: of the transformer.
    """

    def __init__(self, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.conv_root = _Convolution(3, STEM, 7, stride=2, bias=False)
        self.gn_root = nn.GroupNorm(32, STEM, eps=1e-6)
        self.block1 = _Bottleneck(STEM, 4 * STEM)
        self.embedding = nn.Linear(4 * STEM * (PATCH // 4) ** 2, WIDTH)
        self.places = nn.Parameter(torch.zeros(GRID**2, WIDTH))
        self.sizes = nn.Parameter(torch.zeros(len(LONGER_SIDES) + 1, WIDTH))
        self.first = nn.Parameter(torch.zeros(WIDTH))
        self.blocks = nn.ModuleList(_Block() for _ in range(blocks))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, picture: Float[Tensor, "1 3 h w"]) -> Float[Tensor, ""]:
        """Return the quality of a picture in [0, 1], on the scale that the weights were trained for."""
        tokens = [self.first[None]]
        for number, one in enumerate([*(_resized(picture * 2 - 1, side) for side in LONGER_SIDES), picture * 2 - 1]):
            patches = _patches(one)
            rows, columns = (ceil(side / PATCH) for side in one.shape[2:])
            tokens.append(self._embed(patches) + self.places[_places(rows, columns)] + self.sizes[number])
        x = torch.cat(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[0]))[0]

    def _embed(self, patches: Float[Tensor, "n 3 32 32"]) -> Float[Tensor, "n d"]:
        x = F.relu(self.gn_root(self.conv_root(patches)))
        x = self.block1(F.max_pool2d(F.pad(x, _same(x, 3, 2)), 3, stride=2))
        return self.embedding(rearrange(x, "n c h w -> n (h w c)"))


class _Convolution(nn.Conv2d):
    """A convolution with filters of mean 0 and spread 1, padded as little as it takes, less before than after."""

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:  # noqa: A002 - PyTorch's name
        spread, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) / (spread + 1e-5)
        padded = F.pad(input, _same(input, self.kernel_size[0], self.stride[0]))
        return F.conv2d(padded, weight, stride=self.stride)


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = _Convolution(channels, channels, 1, bias=False)
        self.conv2 = _Convolution(channels, channels, 3, bias=False)
        self.conv3 = _Convolution(channels, out, 1, bias=False)
        self.conv_proj = _Convolution(channels, out, 1, bias=False)
        self.gn1, self.gn2 = (nn.GroupNorm(32, channels, eps=1e-4) for _ in range(2))
        self.gn3, self.gn_proj = (nn.GroupNorm(32, out, eps=1e-4) for _ in range(2))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        branch = F.relu(self.gn1(self.conv1(x)))
        branch = self.gn3(self.conv3(F.relu(self.gn2(self.conv2(branch)))))
        return F.relu(branch + self.gn_proj(self.conv_proj(x)))


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, eps=1e-6) for _ in range(2))
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        y = self.norm1(x)
        heads = [rearrange(layer(y), "n (h d) -> h n d", h=HEADS) for layer in (self.query, self.key, self.value)]
        x = x + self.out(rearrange(F.scaled_dot_product_attention(*heads), "h n d -> n (h d)"))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def load_musiq(path: Path) -> Musiq:
    """Return the network with the weights of a file, named as its first program (.npz) or its PyTorch port has them.

    Raises:
        WeightsError: it cannot be read, or is of another network.
    """
    is_first = path.suffix == ".npz"
    state = _of_npz(path) if is_first else dict(_of_port(*pair) for pair in read_tensors(path).items())
    blocks = sum(name.endswith("norm1.weight") for name in state)
    network = Musiq(blocks)
    try:
        network.load_state_dict({name: value.float() for name, value in state.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"{path} is not of MUSIQ with one score ({reason}); name KonIQ or SPAQ weights") from error
    return network.eval().requires_grad_(requires_grad=False)


def _of_npz(path: Path) -> dict[str, Tensor]:
    """Return the arrays of the first program under our names, convolutions and matrices turned to PyTorch's order."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            content: Mapping[str, np.ndarray] = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({error}); download it again") from error
    prefix = "opt/target/"
    found = {}
    for name, array in content.items():
        if name.startswith(prefix):
            words, tensor = _of_jax(name.removeprefix(prefix), torch.from_numpy(np.asarray(array, np.float32)))
            found[words] = tensor
    return found


_RENAMES = (
    ("Transformer/posembed_input/pos_embedding", "places"),
    ("Transformer/scaleembed_input/scale_embedding", "sizes"),
    ("Transformer/cls", "first"),
    ("Transformer/encoder_norm", "norm"),
    ("Transformer/encoderblock_", "blocks/"),
    ("LayerNorm_0", "norm1"),
    ("LayerNorm_2", "norm2"),
    ("MultiHeadDotProductAttention_1/", ""),
    ("MlpBlock_3/Dense_0", "fc1"),
    ("MlpBlock_3/Dense_1", "fc2"),
    ("block1/unit1", "block1"),
    ("kernel", "weight"),
    ("scale", "weight"),
)


def _of_jax(name: str, array: Tensor) -> tuple[str, Tensor]:
    for old, new in _RENAMES:
        name = new if name == old else name.replace(old, new)
    name = name.replace("/", ".")
    if name in ("places", "sizes"):
        return name, array.squeeze(0)
    if name == "first":
        return name, array.flatten()
    if array.ndim == 4 and "conv" in name:
        return name, array.permute(3, 2, 0, 1)
    if name.split(".")[-2] in ("query", "key", "value", "out"):
        return name, _attention(name, array)
    if name.endswith("weight") and array.ndim == 2:
        return name, array.T
    return name, array.flatten()


def _attention(name: str, array: Tensor) -> Tensor:
    """Return a matrix or bias of attention, which has heads as an axis of its own, as PyTorch's layers have it."""
    if name.endswith("bias"):
        return array.flatten()
    return array.reshape(WIDTH, WIDTH).T


def _of_port(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    for old, new in (
        ("transformer_encoder.posembed_input.position_emb", "places"),
        ("transformer_encoder.scaleembed_input.scale_emb", "sizes"),
        ("transformer_encoder.cls", "first"),
        ("transformer_encoder.encoder_norm", "norm"),
        ("transformer_encoder.transformer.encoderblock_", "blocks."),
        (".attention.", "."),
        (".mlp.", "."),
    ):
        name = name.replace(old, new)
    return name, tensor.reshape(-1, WIDTH) if name == "places" else tensor.flatten() if name == "first" else tensor


def _resized(picture: Float[Tensor, "1 3 h w"], longer: int) -> Float[Tensor, "1 3 h2 w2"]:
    ratio = longer / max(picture.shape[2:])
    size = [round(side * ratio) for side in picture.shape[2:]]
    return F.interpolate(picture, size, mode="bicubic", align_corners=False)


def _patches(picture: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "n 3 32 32"]:
    picture = F.pad(picture, _same(picture, PATCH, PATCH))
    return rearrange(picture[0], "c (r h) (k w) -> (r k) c h w", h=PATCH, w=PATCH)


def _places(rows: int, columns: int) -> Int[Tensor, "n"]:
    """Return where each patch lies on the grid of places."""
    down, across = (torch.arange(count) * GRID // count for count in (rows, columns))
    return (down[:, None] * GRID + across).flatten()


def _same(x: Float[Tensor, "n c h w"], kernel: int, stride: int) -> tuple[int, int, int, int]:
    """Return the padding under which each side has as many outputs as strides begin in it."""
    pads = []
    for side in reversed(x.shape[2:]):
        total = max((ceil(side / stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    return tuple(pads)  # pyright: ignore[reportReturnType] - two sides, two numbers each
