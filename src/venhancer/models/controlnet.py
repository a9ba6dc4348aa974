"""The video ControlNet: turns the low-quality key frames into residuals for the base network's skips and middle.

Video-aware conditioning (VEnhancer, sec. 3.2): the key frames' latents, the noise put on them and the downscale
factor enter **only at key frames**; the layers along time carry them to the frames between.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from diffusers.configuration_utils import register_to_config
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from venhancer.model_files.network_shape import NetworkShape
from venhancer.models.attention import KeysValues
from venhancer.models.blocks import sinusoid, zeroed
from venhancer.models.encoder import BlockFactory, VideoEncoder
from venhancer.models.unet import VideoNetwork, VideoUNet


class KeyFrames(NamedTuple):
    """What the ControlNet gets at key frames.

    Args:
        latents: noise-augmented latents of the key frames, in order.
        mask: which frames of each clip are key frames; the i-th True takes the i-th latents.
        noise_timesteps: timestep index of the noise on `latents`, one a clip or one a key frame.
        downscale_factor: how much smaller the input was, likewise.
    """

    latents: Float[Tensor, "b c k h w"]
    mask: Bool[Tensor, "b f"]
    noise_timesteps: Int[Tensor, "b *k"]
    downscale_factor: Float[Tensor, "b *k"]

    @property
    def places(self) -> Int[Tensor, "b f"]:
        """For each frame, which key frame it is, or comes after."""
        return (self.mask.cumsum(dim=1) - 1).clamp(min=0)


class VideoControlNet(VideoNetwork):
    """A copy of the base network's encoder and middle whose outputs pass through zero convolutions.

    Takes the same arguments as `VideoUNet`, but for `out_channels`.

    Args:
        residual_channels: of the residuals, one a skip of the base network and the middle's last, where they differ
            from this network's own widths.
    """

    @register_to_config
    def __init__(
        self,
        *,
        in_channels: int = 4,
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
        residual_channels: Sequence[int] | None = None,
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
        self.encoder = VideoEncoder(shape, BlockFactory(shape))
        self.key_frame_conv = nn.Conv2d(in_channels, base_channels, 3, padding=1)
        self.noise_embed = zeroed(nn.Linear(shape.embed_dim, shape.embed_dim))
        self.downscale_embed = nn.Sequential(
            nn.Linear(base_channels, shape.embed_dim),
            nn.SiLU(),
            zeroed(nn.Linear(shape.embed_dim, shape.embed_dim)),
        )
        own = [*(skip.leaving for skip in shape.skips), shape.widths[-1]]
        convs = [zeroed(nn.Conv2d(*widths, 1)) for widths in zip(own, residual_channels or own, strict=True)]
        self.zero_convs, self.middle_zero_conv = nn.ModuleList(convs[:-1]), convs[-1]

    @classmethod
    def from_shape(cls, shape: NetworkShape) -> Self:
        """Return a new ControlNet, as wide as the shape says, for the base network of that shape."""
        arguments = shape.control.arguments()
        del arguments["out_channels"]
        is_copy = shape.control_channels is None
        return cls(**arguments, residual_channels=None if is_copy else [block.leaving for block in shape.way_down()])

    @classmethod
    def from_unet(cls, unet: VideoUNet) -> Self:
        """Return a ControlNet with the base network's encoder and middle that changes nothing yet."""
        config = {name: value for name, value in unet.config.items() if not name.startswith("_")}
        for of_base in ("out_channels", "guidance_input"):
            config.pop(of_base, None)
        controlnet = cls(**config)
        controlnet.encoder.load_state_dict(unet.encoder.state_dict())
        nn.Module.to(controlnet, unet.device, unet.dtype)
        return controlnet

    def forward(
        self,
        noisy_latents: Float[Tensor, "b c f h w"],
        timesteps: Int[Tensor, " b"],
        text: tuple[KeysValues, ...],
        key_frames: KeyFrames | None,
        max_tokens: int | None = None,
    ) -> list[Tensor]:
        """Return one residual a skip of the base network, then the middle's.

        Args:
            noisy_latents: the same latents that the base network gets.
            timesteps: 0 (clean) to 999 (noise), one a clip.
            text: this network's `project_text` of the prompt; of p prompts for every clip, to share what does not
                depend on the prompt (the batch of the result is then p b, all clips for the first prompt first).
            key_frames: the low-quality input; None leaves the network without any condition.
            max_tokens: see `BlockContext`.
        """
        frames = noisy_latents.shape[2]
        embeds = repeat(self.encoder.embed_number(timesteps), "b d -> b f d", f=frames)
        added = None
        if key_frames is not None:
            embeds = embeds + key_frames.mask[:, :, None] * self._embed_conditions(key_frames)
            added = self._features_at_key_frames(key_frames)
        context = self.encoder.context(rearrange(embeds, "b f d -> (b f) d"), text, frames, max_tokens)
        x, features = self.encoder(
            rearrange(noisy_latents, "b c f h w -> (b f) c h w"), context, added=added, run=self.run_stage
        )
        residuals = []
        for zero_conv in self.zero_convs:
            residuals.append(zero_conv(features.pop(0)))
        return [*residuals, self.middle_zero_conv(x)]

    def _embed_conditions(self, key_frames: KeyFrames) -> Float[Tensor, "b #f d"]:
        """Return what noise level and downscale factor add to the embedding of a key frame."""
        timesteps, factors = key_frames.noise_timesteps, key_frames.downscale_factor
        noise = self.noise_embed(self.encoder.embed_number(timesteps.flatten()))
        factor = sinusoid(factors.flatten(), self.encoder.conv_in.out_channels)
        embeds = (noise + self.downscale_embed(factor.to(noise.dtype))).unflatten(0, timesteps.shape)
        return embeds[:, None] if embeds.ndim == 2 else _placed(embeds, key_frames.places)

    def _features_at_key_frames(self, key_frames: KeyFrames) -> Float[Tensor, "bf c h w"]:
        """Return the key frames' features in their places and zeros between."""
        latents = rearrange(key_frames.latents, "b c k h w -> (b k) c h w")
        features = self.key_frame_conv(latents.contiguous(memory_format=torch.channels_last))
        features = rearrange(features, "(b k) c h w -> b k c h w", b=len(key_frames.latents))
        placed = _placed(features, key_frames.places)
        return rearrange(placed * key_frames.mask[:, :, None, None, None], "b f c h w -> (b f) c h w")


def _placed(of_key_frames: Shaped[Tensor, "b k *d"], places: Int[Tensor, "b f"]) -> Shaped[Tensor, "b f *d"]:
    """Return for each frame what belongs to its key frame."""
    clips = torch.arange(len(places), device=places.device)
    return of_key_frames[clips[:, None], places]
