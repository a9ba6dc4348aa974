"""Our parameter names and the published checkpoints': one map, used in both directions and at any width.

The names are derived from ours by the rules below, so the map is made from a network's own `state_dict()` and nothing
is listed twice. Values differ in one respect only: the temporal transformers' projections are 1x1 convolutions in the
published checkpoints and linear layers here.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

CONTROL_PREFIX = "VideoControlNet."
ENTRY_HEADS = 8
NORM_GROUPS = 32

_TRANSFORMER = "transformer_blocks.0."
_INSIDE_BLOCKS = (
    (r"\bnorm_in\.", "in_layers.0."),
    (r"\bconv_in\.", "in_layers.2."),
    (r"\bembed\.", "emb_layers.1."),
    (r"\bnorm_out\.", "out_layers.0."),
    (r"\bconv_out\.", "out_layers.3."),
    (r"\bskip\.", "skip_connection."),
    (r"\btemporal\.0\.norm\.", "temopral_conv.conv1.0."),
    (r"\btemporal\.0\.conv\.", "temopral_conv.conv1.2."),
    (r"\btemporal\.(\d)\.norm\.", lambda match: f"temopral_conv.conv{int(match[1]) + 1}.0."),
    (r"\btemporal\.(\d)\.conv\.", lambda match: f"temopral_conv.conv{int(match[1]) + 1}.3."),
    (r"\b(self|first)_attention\.", _TRANSFORMER + "attn1."),
    (r"\b(text|second)_attention\.", _TRANSFORMER + "attn2."),
    (r"(attn\d\.to_out)\.", r"\1.0."),
    (r"\bnorm_(self|first)\.", _TRANSFORMER + "norm1."),
    (r"\bnorm_(text|second)\.", _TRANSFORMER + "norm2."),
    (r"\bnorm_feed_forward\.", _TRANSFORMER + "norm3."),
    (r"\bfeed_forward\.to_hidden\.", _TRANSFORMER + "ff.net.0.proj."),
    (r"\bfeed_forward\.to_out\.", _TRANSFORMER + "ff.net.2."),
)
_AROUND_BLOCKS = (
    (r"^encoder\.time_embed\.", "time_embed."),
    (r"^encoder\.conv_in\.", "input_blocks.0.0."),
    (r"^encoder\.entry\.", "input_blocks.0.1."),
    (r"^encoder\.stages\.(\d+)\.0\.conv\.", lambda match: f"input_blocks.{int(match[1]) + 1}.op."),
    (r"^encoder\.stages\.(\d+)\.", lambda match: f"input_blocks.{int(match[1]) + 1}."),
    (r"^encoder\.middle\.", "middle_block."),
    (r"^decoder\.", "output_blocks."),
    (r"^norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^key_frame_conv\.", "input_hint_block."),
    (r"^noise_embed\.", "hint_time_zero_linear."),
    (r"^downscale_embed\.", "scale_cond."),
    (r"^zero_convs\.(\d+)\.", r"zero_convs.\1.0."),
    (r"^middle_zero_conv\.", "middle_block_out.0."),
)


def published_key(key: str, *, control: bool) -> str:
    """Return the published name of a parameter of `VideoUNet`, or of `VideoControlNet` if `control`.

    >>> published_key("encoder.stages.0.0.temporal.0.norm.weight", control=False)
    'input_blocks.1.0.temopral_conv.conv1.0.weight'
    """
    for pattern, replacement in _AROUND_BLOCKS:
        key, count = re.subn(pattern, replacement, key)
        if count:
            break
    if key.startswith(("input_blocks.", "middle_block.", "output_blocks.")):
        for pattern, replacement in _INSIDE_BLOCKS:
            key = re.sub(pattern, replacement, key)
    return CONTROL_PREFIX + key if control else key


def published_keys(ours: Iterable[str], *, control: bool) -> dict[str, str]:
    """Return published name -> our name for the parameters of one network."""
    return {published_key(key, control=control): key for key in ours}


def to_ours(published_value: Tensor, our_shape: tuple[int, ...]) -> Tensor:
    """Return a published tensor in our layout: a 1x1 convolution over time becomes a linear layer."""
    return published_value.squeeze(-1) if published_value.dim() == len(our_shape) + 1 else published_value


def to_published(key: str, value: Tensor) -> Tensor:
    """Return one of our tensors in the published layout, given its published name."""
    over_time = re.search(r"\.proj_(in|out)\.weight$", key) and _is_temporal(key)
    return value.unsqueeze(-1) if over_time else value


def _is_temporal(key: str) -> bool:
    """Tell whether a published transformer key belongs to a temporal one: it stands alone or after the spatial one."""
    return re.search(r"(input_blocks\.0\.1|put_blocks\.\d+\.2|middle_block\.2)\.", key) is not None


def config_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the base network's configuration, read off the shapes of a published state dict.

    Shapes do not show how a width is divided into heads or groups: the published 8 heads of the first temporal
    transformer and 32 groups are taken.

    Raises:
        KeyError: a key that every published checkpoint has is missing.
    """
    base = shapes["input_blocks.0.0.weight"][0]
    stages = itertools.takewhile(
        lambda stage: stage + "0.in_layers.0.weight" in shapes or stage + "op.weight" in shapes,
        (f"input_blocks.{number}." for number in itertools.count(1)),
    )
    levels: list[list[str]] = [[]]
    for stage in stages:
        if stage + "op.weight" in shapes:
            levels.append([])
        else:
            levels[-1].append(stage)
    if not all(levels):
        raise KeyError("input_blocks.1.0.in_layers.0.weight")
    return {
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "base_channels": base,
        "channel_mults": [shapes[blocks[0] + "0.out_layers.3.weight"][0] // base for blocks in levels],
        "blocks_per_level": len(levels[0]),
        "attention_levels": [blocks[0] + "1.proj_in.weight" in shapes for blocks in levels],
        "head_dim": shapes["input_blocks.0.1.proj_in.weight"][0] // ENTRY_HEADS,
        "text_dim": shapes["middle_block.1." + _TRANSFORMER + "attn2.to_k.weight"][1],
        "entry_heads": ENTRY_HEADS,
        "norm_groups": NORM_GROUPS,
    }
