"""DOVER's two networks (Wu et al. 2023): a video Swin of crops for technique, a ConvNeXt of whole frames for looks.

Modules are called as in the published file. Clips are 32 frames of 224x224, of which all windows come out whole.
"""

import pickle
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from venhancer.errors import WeightsError

FRAMES, SIDE = 32, 224
WINDOW = (8, 7, 7)
"""Frames, rows and columns of patches that attend to one another."""

CROPS = 7
"""Crops across and down of a clip for technique: attention knows whether two patches are of one crop."""

_DEPTHS, _WIDTHS, _HEADS = (2, 2, 6, 2), (96, 192, 384, 768), (3, 6, 12, 24)
_CONVOLUTIONS = (3, 3, 9, 3)

Clips = Float[Tensor, "b 3 32 224 224"]


class Dover(nn.Module):
    """Quality of technique and of looks, before they are put on a common scale."""

    def __init__(self) -> None:
        super().__init__()
        self.technical_backbone, self.aesthetic_backbone = _Swin(), _ConvNeXt()
        self.technical_head, self.aesthetic_head = _Head(), _Head()

    def forward(self, technical: Clips, aesthetic: Clips) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return both, the mean over clips and places."""
        return (
            self.technical_head(self.technical_backbone(technical)).mean(),
            self.aesthetic_head(self.aesthetic_backbone(aesthetic)).mean(),
        )


def load_dover(path: Path) -> Dover:
    """Return the networks with the weights of the published file; nothing in it is run.

    Raises:
        WeightsError: it cannot be read, or is of another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{path} cannot be read ({' '.join(str(error).split())[:120]}); download it again"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    network = Dover()
    wanted = {name: value for name, value in state.items() if not name.endswith("relative_position_index")}
    try:
        network.load_state_dict(wanted)
    except RuntimeError as error:
        raise WeightsError(f"{path} is not of DOVER ({' '.join(str(error).split())[:160]}); name DOVER.pth") from error
    return network.eval().requires_grad_(requires_grad=False)


class _Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc_hid, self.fc_last = nn.Conv3d(_WIDTHS[-1], 64, 1), nn.Conv3d(64, 1, 1)

    def forward(self, x: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b 1 f h w"]:
        return self.fc_last(F.gelu(self.fc_hid(x)))


class _Swin(nn.Module):
    """Video Swin (Liu et al. 2022) whose attention tells patches of one crop from others, as in FAST-VQA."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(3, 96, (2, 4, 4), (2, 4, 4)), "norm": nn.LayerNorm(96)})
        self.layers = nn.ModuleList(_Stage(number) for number in range(len(_DEPTHS)))
        self.norm = nn.LayerNorm(_WIDTHS[-1])

    def forward(self, clips: Clips) -> Float[Tensor, "b c f h w"]:
        x = self.patch_embed["norm"](rearrange(self.patch_embed["proj"](clips), "b c f h w -> b f h w c"))
        for stage in self.layers:
            x = stage(x)
        return rearrange(self.norm(x), "b f h w c -> b c f h w")


class _Stage(nn.Module):
    def __init__(self, number: int) -> None:
        super().__init__()
        is_last = number == len(_DEPTHS) - 1
        self.blocks = nn.ModuleList(
            SwinBlock(_WIDTHS[number], _HEADS[number], is_shifted=bool(depth % 2), knows_crops=not is_last)
            for depth in range(_DEPTHS[number])
        )
        width = _WIDTHS[number]
        self.downsample = (
            None
            if is_last
            else nn.ModuleDict(
                {"norm": nn.LayerNorm(4 * width), "reduction": nn.Linear(4 * width, 2 * width, bias=False)}
            )
        )

    def forward(self, x: Float[Tensor, "b f h w c"]) -> Float[Tensor, "b f h2 w2 c2"]:
        for block in self.blocks:
            x = block(x)
        if self.downsample is None:
            return x
        x = rearrange(x, "b f (h down) (w across) c -> b f h w (across down c)", down=2, across=2)
        return self.downsample["reduction"](self.downsample["norm"](x))


class SwinBlock(nn.Module):
    """Attention within windows, then a layer of each patch alone.

    Args:
        width: channels.
        heads: of attention.
        is_shifted: whether windows begin half a window later.
        knows_crops: whether places within one crop are told from those of different ones.
    """

    def __init__(self, width: int, heads: int, *, is_shifted: bool, knows_crops: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = _Attention(width, heads, knows_crops=knows_crops)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.is_shifted = is_shifted

    def forward(self, x: Float[Tensor, "b f h w c"]) -> Float[Tensor, "b f h w c"]:
        """Return the patches after both."""
        sizes = x.shape[1:4]
        shift = [
            window // 2 if self.is_shifted and size > window else 0 for size, window in zip(sizes, WINDOW, strict=True)
        ]
        moved = torch.roll(self.norm1(x), [-step for step in shift], dims=(1, 2, 3))
        gate, mask = _gate(sizes, shift), _mask(sizes, shift) if any(shift) else None
        windows = self.attn(_windows(moved), gate, mask)
        counts = [size // window for size, window in zip(sizes, WINDOW, strict=True)]
        moved = rearrange(
            windows,
            "(b nf nh nw) (f h w) c -> b (nf f) (nh h) (nw w) c",
            **dict(zip(("nf", "nh", "nw", "f", "h", "w"), (*counts, *WINDOW), strict=True)),
        )
        x = x + torch.roll(moved, shift, dims=(1, 2, 3))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, *, knows_crops: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        places = 1
        for side in WINDOW:
            places *= 2 * side - 1
        self.relative_position_bias_table = nn.Parameter(torch.zeros(places, heads))
        self.fragment_position_bias_table = nn.Parameter(torch.zeros(places, heads)) if knows_crops else None

    def forward(
        self, x: Float[Tensor, "nb n c"], gate: Float[Tensor, "m n n"], mask: Float[Tensor, "m n n"] | None
    ) -> Float[Tensor, "nb n c"]:
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        bias = self.relative_position_bias_table[_offsets()].permute(2, 0, 1)[None]
        if self.fragment_position_bias_table is not None:
            within = self.fragment_position_bias_table[_offsets()].permute(2, 0, 1)[None]
            bias = bias * gate[:, None] + within * (1 - gate[:, None])
        if mask is not None:
            bias = bias + mask[:, None]
        bias = bias.expand(len(gate), *bias.shape[1:]).repeat(len(x) // len(gate), 1, 1, 1)
        return self.proj(rearrange(F.scaled_dot_product_attention(q, k, v, bias), "b h n d -> b n (h d)"))


def _windows(x: Float[Tensor, "b f h w c"]) -> Float[Tensor, "nb n c"]:
    f, h, w = WINDOW
    return rearrange(x, "b (nf f) (nh h) (nw w) c -> (b nf nh nw) (f h w) c", f=f, h=h, w=w)


def _offsets() -> Int[Tensor, "n n"]:
    """Return where in the tables the offset of each two patches of a window is."""
    places = torch.tensor(list(product(*map(range, WINDOW))))
    steps = places[:, None] - places[None] + torch.tensor(WINDOW) - 1
    _, rows, columns = (2 * side - 1 for side in WINDOW)
    return (steps[..., 0] * rows + steps[..., 1]) * columns + steps[..., 2]


def _gate(sizes: torch.Size, shift: list[int]) -> Float[Tensor, "m n n"]:
    """Return how many crops apart each two patches of every window are, down and across together."""
    crops = [torch.arange(side) * CROPS // side for side in sizes[1:]]
    grid = torch.stack(torch.meshgrid(*crops, indexing="ij"), dim=-1).float()
    grid = torch.roll(grid.expand(1, sizes[0], *grid.shape), [-step for step in shift], dims=(1, 2, 3))
    windows = _windows(grid)
    return (windows[:, None] - windows[:, :, None]).abs().sum(dim=-1)


def _mask(sizes: torch.Size, shift: list[int]) -> Float[Tensor, "m n n"]:
    """Return -100 for two patches that only meet in a window because it was rolled around an edge, else 0."""
    region = torch.zeros(1, *sizes, 1)
    spans = [
        (slice(0, -window), slice(-window, -step), slice(-step, None)) if step else (slice(None),)
        for window, step in zip(WINDOW, shift, strict=True)
    ]
    for number, (frames, rows, columns) in enumerate(product(*spans)):
        region[:, frames, rows, columns] = number
    windows = _windows(region)[..., 0]
    return (windows[:, None] != windows[:, :, None]).float() * -100


class _ConvNeXt(nn.Module):
    """ConvNeXt (Liu et al. 2022) over space; every second block of a stage sees neighbouring frames."""

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv3d(3, 96, (2, 4, 4), (2, 4, 4)), _ChannelNorm(96))
        steps = [
            nn.Sequential(_ChannelNorm(width), nn.Conv3d(width, 2 * width, (1, 2, 2), (1, 2, 2)))
            for width in _WIDTHS[:-1]
        ]
        self.downsample_layers = nn.ModuleList([stem, *steps])
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width, 3 if number % 3 == 1 else 1) for number in range(count)))
            for width, count in zip(_WIDTHS, _CONVOLUTIONS, strict=True)
        )
        self.norm = nn.LayerNorm(_WIDTHS[-1], eps=1e-6)

    def forward(self, clips: Clips) -> Float[Tensor, "b c f h w"]:
        x = clips
        for step, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(step(x))
        return rearrange(self.norm(rearrange(x, "b c f h w -> b f h w c")), "b f h w c -> b c f h w")


class _ChannelNorm(nn.LayerNorm):
    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)

    def forward(self, input: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:  # noqa: A002 - PyTorch's name
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class ConvNeXtBlock(nn.Module):
    """A convolution of each channel alone, then a layer of each place alone.

    Args:
        width: channels.
        frames: the convolution sees, 1 or 3.
    """

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv3d(width, width, (frames, 7, 7), padding=(frames // 2, 3, 3), groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1, self.pwconv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
        """Return the features after both."""
        y = rearrange(self.dwconv(x), "b c f h w -> b f h w c")
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(self.norm(y))))
        return x + rearrange(y, "b f h w c -> b c f h w")
