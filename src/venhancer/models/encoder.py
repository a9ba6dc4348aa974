"""The half that both networks share: time embedding, the way down, and the middle.

`VideoUNet` runs it on the noisy latents; `VideoControlNet` is a copy of it that also sees the key frames. Every stage
of the way down gives one skip.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from venhancer.model_files.network_shape import NetworkShape
from venhancer.models.attention import KeysValues
from venhancer.models.blocks import (
    BlockContext,
    BlockSequence,
    Downsample,
    ResBlock,
    SpatialTransformer,
    TemporalTransformer,
    repeat_rows,
    sinusoid,
    zeroed,
)

Run = Callable[[nn.Module, Tensor, BlockContext], Tensor]


def run_directly(stage: nn.Module, x: Tensor, context: BlockContext) -> Tensor:
    """Call a stage; its counterpart while training recomputes the stage instead of keeping its activations."""
    return stage(x, context)


class BlockFactory:
    """Makes the blocks of one network from its shape, numbering the cross-attentions as it goes."""

    def __init__(self, shape: NetworkShape) -> None:
        self.shape = shape
        self.text_slots = 0

    def stage(self, channels_in: int, channels: int, *, attention: bool) -> BlockSequence:
        """Return a ResBlock, followed by both transformers on the levels that have attention."""
        return BlockSequence(
            [self.res_block(channels_in, channels), *(self.transformers(channels) if attention else [])]
        )

    def res_block(self, channels_in: int, channels: int) -> ResBlock:
        """Return a ResBlock of this network."""
        shape = self.shape
        return ResBlock(
            channels_in,
            channels,
            embed_dim=shape.embed_dim,
            groups=shape.norm_groups,
            temporal_convs=shape.temporal_convs,
        )

    def transformers(self, channels: int) -> list[nn.Module]:
        """Return the spatial and the temporal transformer of one stage."""
        shape, slot = self.shape, self.text_slots
        self.text_slots += 1
        return [
            SpatialTransformer(
                channels, head_dim=shape.head_dim, text_dim=shape.text_dim, text_slot=slot, groups=shape.norm_groups
            ),
            TemporalTransformer(channels, inner_channels=channels, head_dim=shape.head_dim, groups=shape.norm_groups),
        ]


class VideoEncoder(nn.Module):
    """Time embedding, way down and middle of a video U-Net."""

    def __init__(self, shape: NetworkShape, factory: BlockFactory) -> None:
        super().__init__()
        self.time_embed = nn.Sequential(
            nn.Linear(shape.base_channels, shape.embed_dim), nn.SiLU(), nn.Linear(shape.embed_dim, shape.embed_dim)
        )
        self.conv_in = nn.Conv2d(shape.in_channels, shape.base_channels, 3, padding=1)
        self.entry = (
            TemporalTransformer(
                shape.base_channels,
                inner_channels=shape.entry_heads * shape.head_dim,
                head_dim=shape.head_dim,
                groups=shape.norm_groups,
            )
            if shape.entry_heads
            else BlockSequence()
        )
        self.text_embed = None if shape.attends_to_text else zeroed(nn.Linear(shape.text_dim, shape.embed_dim))
        self.stages = nn.ModuleList()
        channels = shape.widths[-1]
        for block in shape.way_down():
            if block.kind == "down":
                self.stages.append(BlockSequence([Downsample(block.entering)]))
            elif block.kind == "stage":
                self.stages.append(factory.stage(block.entering, block.leaving, attention=block.attention))
        self.middle = BlockSequence(
            [
                factory.res_block(channels, channels),
                *(factory.transformers(channels) if shape.middle_attention else []),
                factory.res_block(channels, channels),
            ]
        )

    def embed_number(self, values: Tensor) -> Float[Tensor, "b d"]:
        """Embed one number a clip (timestep, noise level) through this network's time embedding."""
        embeds = sinusoid(values.float(), self.conv_in.out_channels)
        return self.time_embed(embeds.to(self.conv_in.weight.dtype))

    def context(
        self, embeds: Float[Tensor, "bf d"], text: tuple[KeysValues, ...], num_frames: int, max_tokens: int | None
    ) -> BlockContext:
        """Return the context of one forward; the embeddings are activated here once, not in every block."""
        rows = len(text[0].keys) * num_frames
        if self.text_embed is not None:
            embeds = repeat_rows(embeds, rows) + text[0].keys[:, 0, 0].repeat_interleave(num_frames, dim=0)
        return BlockContext(repeat_rows(F.silu(embeds), rows), text, num_frames, max_tokens)

    def forward(
        self,
        latents: Float[Tensor, "bf c h w"],
        context: BlockContext,
        *,
        added: Float[Tensor, "bf c2 h w"] | None = None,
        run: Run = run_directly,
    ) -> tuple[Float[Tensor, "pbf c3 h2 w2"], list[Tensor]]:
        """Return the middle's output and the skips, first to last, each repeated for every prompt.

        Args:
            latents: noisy latents, frames in the batch.
            context: what every block may look at.
            added: what the key frames add to the first features, before any frame sees another.
            run: how a stage is called; gradient checkpointing passes its own.
        """
        x = self.conv_in(latents.contiguous(memory_format=torch.channels_last))
        x = x if added is None else x + added
        if self.text_embed is not None:
            x = repeat_rows(x, len(context.embeds))
        x = run(self.entry, x, context)
        skips = [x]
        for stage in self.stages:
            x = run(stage, x, context)
            skips.append(x)
        x = run(self.middle, x, context)
        return x, [repeat_rows(skip, len(x)) for skip in skips]
