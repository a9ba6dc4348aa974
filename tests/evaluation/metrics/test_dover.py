"""DOVER's networks against their formulas written out plainly, the views it is given, and the scale of its scores."""

from math import exp

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from venhancer.errors import WeightsError
from venhancer.evaluation.metrics.dover import aesthetic_view, dover, dover_technical, technical_view
from venhancer.evaluation.metrics.dover_network import WINDOW, ConvNeXtBlock, Dover, SwinBlock, load_dover


def fill(module: torch.nn.Module) -> torch.nn.Module:
    """Give every weight a wave of its own length: a recipe that needs no file and no chance."""
    with torch.no_grad():
        for number, value in enumerate(module.parameters()):
            value.copy_(torch.sin(torch.arange(value.numel()) * (1.7 + number)).view(value.shape) / 2)
    return module.eval()


def plain_block(block: SwinBlock, x: torch.Tensor, shift: list[int]) -> torch.Tensor:
    """The block as attention of every place to every other, forbidden outside its window."""
    sizes, width = x.shape[1:4], x.shape[-1]
    at = torch.cartesian_prod(*(torch.arange(size) for size in sizes))
    rolled = (at - torch.tensor(shift)) % torch.tensor(sizes)
    window, inside = rolled // torch.tensor(WINDOW), rolled % torch.tensor(WINDOW)
    region = torch.zeros_like(rolled)
    for axis, (size, wide, step) in enumerate(zip(sizes, WINDOW, shift, strict=True)):
        if step:
            region[:, axis] = (rolled[:, axis] >= size - wide).long() + (rolled[:, axis] >= size - step)
    crop = torch.stack([at[:, 1] * 7 // sizes[1], at[:, 2] * 7 // sizes[2]], dim=1)
    steps = inside[:, None] - inside[None] + torch.tensor(WINDOW) - 1
    index = (steps[..., 0] * 13 + steps[..., 1]) * 13 + steps[..., 2]
    index = index.clamp(0, 2534)
    bias = block.attn.relative_position_bias_table[index]
    if block.attn.fragment_position_bias_table is not None:
        apart = (crop[:, None] - crop[None]).abs().sum(-1)[..., None]
        bias = bias * apart + block.attn.fragment_position_bias_table[index] * (1 - apart)
    bias = bias - 100.0 * (region[:, None] != region[None]).any(-1)[..., None]
    bias = bias.masked_fill((window[:, None] != window[None]).any(-1)[..., None], -torch.inf)
    flat = x.reshape(-1, width)
    q, k, v = block.attn.qkv(block.norm1(flat)).view(len(flat), 3, block.attn.heads, -1).permute(1, 2, 0, 3)
    shares = (q @ k.mT / q.shape[-1] ** 0.5 + bias.permute(2, 0, 1)).softmax(-1)
    flat = flat + block.attn.proj((shares @ v).permute(1, 0, 2).reshape(len(flat), width))
    return (flat + block.mlp["fc2"](F.gelu(block.mlp["fc1"](block.norm2(flat))))).view(x.shape)


@pytest.mark.parametrize(("sizes", "shift"), [((8, 14, 14), [0, 3, 3]), ((16, 7, 7), [4, 0, 0]), ((8, 14, 7), None)])
@torch.no_grad()
def test_attention_is_that_of_every_place_to_every_other_in_its_window(sizes, shift):
    block = fill(SwinBlock(8, 2, is_shifted=shift is not None, knows_crops=True))
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, *sizes, 8))).float()
    assert torch.allclose(block(x), plain_block(block, x, shift or [0, 0, 0]), atol=1e-4)


@torch.no_grad()
def test_attention_without_crops_has_one_table():
    block = fill(SwinBlock(8, 2, is_shifted=True, knows_crops=False))
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 16, 7, 7, 8))).float()
    assert torch.allclose(block(x), plain_block(block, x, [4, 0, 0]), atol=1e-4)


@torch.no_grad()
def test_a_convolution_block_is_its_formula():
    block = fill(ConvNeXtBlock(4, 3))
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 4, 3, 8, 8))).float()
    padded = F.pad(x, (3, 3, 3, 3, 1, 1))
    taps = padded.unfold(2, 3, 1).unfold(3, 7, 1).unfold(4, 7, 1)
    y = torch.einsum("bcfhwijk,cijk->bfhwc", taps, block.dwconv.weight[:, 0]) + block.dwconv.bias
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, correction=0) + 1e-6).sqrt()
    y = y * block.norm.weight + block.norm.bias
    y = F.gelu(y @ block.pwconv1.weight.T + block.pwconv1.bias) @ block.pwconv2.weight.T + block.pwconv2.bias
    assert torch.allclose(block(x), x + (block.gamma * y).permute(0, 4, 1, 2, 3), atol=1e-4)


def test_modules_are_called_as_in_the_published_file():
    with torch.device("meta"):
        state = Dover().state_dict()
    sizes = {
        "technical_backbone.patch_embed.proj.weight": (96, 3, 2, 4, 4),
        "technical_backbone.layers.0.blocks.1.attn.fragment_position_bias_table": (2535, 3),
        "technical_backbone.layers.2.blocks.5.attn.qkv.weight": (1152, 384),
        "technical_backbone.layers.2.downsample.reduction.weight": (768, 1536),
        "technical_backbone.layers.3.blocks.0.mlp.fc1.weight": (3072, 768),
        "aesthetic_backbone.downsample_layers.1.1.weight": (192, 96, 1, 2, 2),
        "aesthetic_backbone.stages.2.7.dwconv.weight": (384, 1, 3, 7, 7),
        "aesthetic_backbone.stages.2.8.dwconv.weight": (384, 1, 1, 7, 7),
        "technical_head.fc_hid.weight": (64, 768, 1, 1, 1),
        "aesthetic_head.fc_last.bias": (1,),
    }
    assert {name: tuple(state[name].shape) for name in sizes} == sizes
    assert "technical_backbone.layers.3.blocks.0.attn.fragment_position_bias_table" not in state


def test_crops_are_whole_pieces_of_their_cells_and_always_the_same():
    rows, columns = np.mgrid[:448, :448] // 2
    frame = np.stack([rows, columns, rows * 0], axis=-1).astype(np.uint8)
    frames = np.repeat(frame[None], 5, axis=0)
    view = technical_view(frames)
    assert view.shape == (3, 3, 32, 224, 224)
    assert (view == technical_view(frames)).all()
    assert not (view == technical_view(frames, seed=1)).all()
    down = view[0, 0, 0] * 58.395 + 123.675  # rows in halves of pixels
    for row in range(7):
        piece = down[row * 32 : (row + 1) * 32, 0]
        first = float(piece[0]) * 2
        assert row * 64 - 1 <= first <= row * 64 + 32
        assert float(piece[-1]) * 2 == pytest.approx(first + 31, abs=2)


def test_small_films_are_enlarged_and_short_ones_go_round():
    frames = np.random.default_rng(0).integers(0, 256, (3, 90, 120, 3), dtype=np.uint8)
    assert technical_view(frames).isfinite().all()
    view = aesthetic_view(frames)
    assert view.shape == (1, 3, 32, 224, 224)
    assert (view[:, :, 0] == view[:, :, 3]).all()
    white = aesthetic_view(np.full((2, 60, 80, 3), 255, np.uint8))
    assert white[0, 0].unique().item() == pytest.approx((255 - 123.675) / 58.395)


def test_files_of_other_networks_are_refused(tmp_path):
    torch.save({"technical_head.fc_hid.weight": torch.zeros(1)}, tmp_path / "DOVER.pth")
    with pytest.raises(WeightsError, match=r"is not of DOVER"):
        load_dover(tmp_path / "DOVER.pth")
    (tmp_path / "DOVER.pth").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_dover(tmp_path / "DOVER.pth")


@pytest.mark.slow
def test_scores_are_on_the_scale_of_films(tmp_path):
    """Heads that say 0 of everything: what is left is the scale, of the published size."""
    network = fill(Dover())
    state = network.state_dict()
    for name in state:
        if "fc_last" in name:
            state[name].zero_()
    torch.save(
        state | {"technical_backbone.layers.0.blocks.0.attn.relative_position_index": torch.zeros(1)}, tmp_path / "D"
    )
    frames = np.zeros((2, 224, 224, 3), np.uint8)
    technique, looks = -0.1107 / 0.07355, 0.08285 / 0.03774
    assert dover_technical(frames, tmp_path / "D") == pytest.approx(1 / (1 + exp(-technique)))
    fused = 0.6104 * technique + 0.3896 * looks
    assert dover(frames, tmp_path / "D") == pytest.approx(1 / (1 + exp(-fused)))
