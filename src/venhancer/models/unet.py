"""The base network: predicts v for all frames of a clip from noisy latents, the timestep and the prompt."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from venhancer.model_files.network_shape import NetworkShape
from venhancer.models.attention import KeysValues
from venhancer.models.blocks import (
    BlockContext,
    BlockSequence,
    SpatialTransformer,
    Upsample,
    group_norm,
    sinusoid,
    zeroed,
)
from venhancer.models.encoder import BlockFactory, VideoEncoder, run_directly


class VideoNetwork(ModelMixin, ConfigMixin):
    """What `VideoUNet` and `VideoControlNet` have in common beside their layers."""

    encoder: VideoEncoder

    _supports_gradient_checkpointing = True
    _repeated_blocks: ClassVar = ["ResBlock", "SpatialTransformer", "TemporalTransformer"]

    gradient_checkpointing = False

    def __init__(self) -> None:
        super().__init__()
        self.guidance_embed: nn.Module | None = None

    def lay_out(self, *, channels_last: bool = True) -> Self:
        """Lay out the weights of convolutions as activations are, so that no call does; return the network.

        Training and files want them as they come, with `channels_last` False.
        """
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        for parameter in self.parameters():
            layout = formats.get(parameter.ndim) if channels_last else torch.contiguous_format
            if layout is not None:
                parameter.data = parameter.data.contiguous(memory_format=layout)
        return self

    def save_pretrained(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as the library's
        """Write the network as the library does, whose files hold weights as they come."""
        self.lay_out(channels_last=False)
        super().save_pretrained(*arguments, **options)

    def project_text(
        self, text_embeds: Float[Tensor, "b n d"], guidance: Float[Tensor, " b"] | None = None
    ) -> tuple[KeysValues, ...]:
        """Return the keys and values of every cross-attention: once a prompt, for all frames and steps.

        Of a network without cross-attention it is one pair, `b 1 1 d`: what the prompt adds to the time embedding. A
        network that takes guidance gets one more of these at the end; without a guidance scale it adds nothing.
        """
        if self.encoder.text_embed is not None:
            projected = [_added(self.encoder.text_embed(text_embeds.mean(dim=1)))]
        else:
            blocks = [module for module in self.modules() if isinstance(module, SpatialTransformer)]
            ordered = sorted(blocks, key=lambda block: block.text_slot)
            projected = [block.text_attention.keys_values(text_embeds) for block in ordered]
        if self.guidance_embed is not None:
            base = self.encoder.conv_in
            if guidance is None:
                projected.append(_added(text_embeds.new_zeros(len(text_embeds), 4 * base.out_channels)))
            else:
                embeds = sinusoid(guidance.float(), base.out_channels).to(base.weight.dtype)
                projected.append(_added(self.guidance_embed(embeds)))
        return tuple(projected)

    def run_stage(self, stage: nn.Module, x: Tensor, context: BlockContext) -> Tensor:
        """Call a stage; while training with gradient checkpointing, recompute it in the backward pass."""
        if self.gradient_checkpointing and torch.is_grad_enabled() and self._gradient_checkpointing_func is not None:
            return self._gradient_checkpointing_func(stage, x, context)
        return run_directly(stage, x, context)


class VideoUNet(VideoNetwork):
    """The text-to-video U-Net; kept frozen when only the ControlNet is trained.

    `NetworkShape.period` tells which heights and widths of latents it accepts.

    Args:
        out_channels: channels of the prediction; the others are those of `NetworkShape`.
        guidance_input: whether the guidance scale is an input, see `take_guidance`.
    """

    @register_to_config
    def __init__(
        self,
        *,
        in_channels: int = 4,
        out_channels: int = 4,
        base_channels: int = 320,
        channel_mults: Sequence[int] = (1, 2, 4, 4),
        blocks_per_level: int = 2,
        attention_levels: Sequence[bool] = (True, True, True, False),
        head_dim: int = 64,
        text_dim: int = 1024,
        entry_heads: int = 8,
        norm_groups: int = 32,
        temporal_convs: int = 4,
        middle_attention: bool = True,
        guidance_input: bool = False,
    ) -> None:
        super().__init__()
        shape = NetworkShape(
            in_channels=in_channels,
            base_channels=base_channels,
            channel_mults=tuple(channel_mults),
            blocks_per_level=blocks_per_level,
            attention_levels=tuple(attention_levels),
            head_dim=head_dim,
            text_dim=text_dim,
            entry_heads=entry_heads,
            norm_groups=norm_groups,
            temporal_convs=temporal_convs,
            middle_attention=middle_attention,
        )
        factory = BlockFactory(shape)
        self.encoder = VideoEncoder(shape, factory)
        channels, stages = shape.widths[0], list[BlockSequence]()
        for block in shape.way_up():
            if block.kind == "up":
                stages[-1].append(Upsample(block.leaving))
            else:
                stages.append(factory.stage(block.entering, block.leaving, attention=block.attention))
        self.decoder = nn.ModuleList(stages)
        self.norm_out = group_norm(norm_groups, channels)
        self.conv_out = zeroed(nn.Conv2d(channels, out_channels, 3, padding=1))
        if guidance_input:
            self.guidance_embed = self._new_guidance_embed()

    def take_guidance(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """Let this network take the guidance scale as an input, which adds to the time embedding: at first nothing.

        One forward can then learn to give what two prompts give otherwise (Meng et al. 2023, sec. 3.1).

        Args:
            weights: of the input, where it has been learned.

        Raises:
            RuntimeError: they are of another network.
        """
        embed = self._new_guidance_embed().to(self.device, self.dtype)
        if weights is not None:
            embed.load_state_dict(weights)
        self.guidance_embed = embed
        self.register_to_config(guidance_input=True)

    def _new_guidance_embed(self) -> nn.Sequential:
        base = self.encoder.conv_in.out_channels
        return nn.Sequential(nn.Linear(base, base), nn.SiLU(), zeroed(nn.Linear(base, 4 * base)))

    def forward(
        self,
        noisy_latents: Float[Tensor, "b c f h w"],
        timesteps: Int[Tensor, " b"],
        text: tuple[KeysValues, ...],
        control_residuals: list[Tensor] | None = None,
        max_tokens: int | None = None,
        *,
        features: list[Tensor] | None = None,
    ) -> Float[Tensor, "pb c2 f h w"]:
        """Return the prediction of v.

        Args:
            noisy_latents: latents at `timesteps`.
            timesteps: 0 (clean) to 999 (noise), one a clip.
            text: this network's `project_text` of the prompt; of p prompts for every clip, to share what does not
                depend on the prompt (the batch of the result is then p b, all clips for the first prompt first).
            control_residuals: outputs of the ControlNet, one a skip and the middle's last. They are consumed: their
                memory becomes that of the skips, and the list is emptied so that each goes when it is used.
            max_tokens: see `BlockContext`.
            features: what the way up takes in, control included. Into an empty list they are put; full, it takes the
                place of the way down, whose latents may have been a little noisier, for as many prompts.
        """
        frames = noisy_latents.shape[2]
        embeds = repeat(self.encoder.embed_number(timesteps), "b d -> (b f) d", f=frames)
        if self.guidance_embed is not None:  # of one prompt
            *cross, guidance = text
            text = tuple(cross)
            embeds = embeds + guidance.keys[:, 0, 0].repeat_interleave(frames, dim=0)
        context = self.encoder.context(embeds, text, frames, max_tokens)
        if features:
            *skips, x = features
        else:
            x, skips = self.encoder(rearrange(noisy_latents, "b c f h w -> (b f) c h w"), context, run=self.run_stage)
            if control_residuals is not None:
                x = x + control_residuals.pop()
                for residual, skip in zip(control_residuals, skips, strict=True):
                    residual.add_(skip)
                skips[:] = control_residuals
                control_residuals.clear()
            if features is not None:
                features[:] = [*skips, x]

        for stage in self.decoder:
            x = torch.cat([x, skips.pop()], dim=1)
            x = self.run_stage(stage, x, context)
        x = self.conv_out(F.silu(self.norm_out(x)))
        return rearrange(x, "(b f) c h w -> b c f h w", f=frames)


def _added(embeds: Float[Tensor, "b d"]) -> KeysValues:
    """Return what is added to the time embedding in the form of keys and values."""
    pooled = embeds[:, None, None]
    return KeysValues(pooled, pooled)
