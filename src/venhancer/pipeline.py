"""Frames in memory to enhanced frames in memory: where the networks meet the diffusion process."""

from collections.abc import Sequence

from diffusers import DiffusionPipeline
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from venhancer.conditioning import Between, LatentSpace
from venhancer.diffusion.schedule import Schedule
from venhancer.models import ImageAutoencoder, LinearAutoencoder, VideoAutoencoder, VideoControlNet, VideoUNet


class VEnhancerPipeline(DiffusionPipeline):
    """A model ready to enhance clips.

    Args:
        vae: frames to latents and back.
        unet: the base network.
        controlnet: the video ControlNet.
        text_encoder: prompts to embeddings.
        tokenizer: of the text encoder.
        residual_scale: see `LatentSpace`; None diffuses the latents themselves, as the published models do.
        between: how frames between key frames start.
        defaults: sampling settings that suit this model.
    """

    def __init__(
        self,
        vae: LinearAutoencoder | ImageAutoencoder | VideoAutoencoder,
        unet: VideoUNet,
        controlnet: VideoControlNet,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        residual_scale: Sequence[float] | None = None,
        between: Between = "repeat",
        defaults: dict[str, float | int | str] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae, unet=unet, controlnet=controlnet, text_encoder=text_encoder, tokenizer=tokenizer
        )
        self.register_to_config(residual_scale=residual_scale, between=between, defaults=defaults or {})
        self.schedule = Schedule()

    @property
    def space(self) -> LatentSpace:
        """Where this model diffuses."""
        scale = self.config.residual_scale
        return LatentSpace(None if scale is None else tuple(scale))
