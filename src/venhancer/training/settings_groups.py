"""The groups of a training run's settings; `venhancer.training.settings` puts them together."""

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from venhancer.settings import Rate

Law: TypeAlias = Literal["uniform", "log"]
Kernel: TypeAlias = Literal["area", "bicubic", "bilinear"]


class Frozen(BaseModel):
    """A settings group: immutable, and every key in it is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSettings(Frozen):
    """Widths of a model made from nothing; see `venhancer.model_files.network_shape.NetworkShape`."""

    latent_channels: int = Field(default=24, ge=1, description="Channels of the linear autoencoder.")
    patch: int = Field(default=4, ge=1, description="Pixels per latent, a side.")
    base_channels: int = Field(default=48, ge=8, description="Width of the first level.")
    channel_mults: tuple[int, ...] = Field(default=(1, 2, 2), description="Width of each level over base_channels.")
    blocks_per_level: int = Field(default=1, ge=1, description="ResBlocks on each level of the way down.")
    attention_levels: tuple[bool, ...] = Field(default=(False, False, True), description="Levels with transformers.")
    head_dim: int = Field(default=16, ge=1, description="Width of an attention head.")
    text_dim: int = Field(default=64, ge=8, description="Width of the text embeddings.")
    text_layers: int = Field(default=2, ge=1, description="Layers of the text encoder.")
    entry_heads: int = Field(default=3, ge=1, description="Heads of the first temporal transformer.")
    norm_groups: int = Field(default=16, ge=1, description="Groups of the group normalisations.")


class AugmentSettings(Frozen):
    """Space-time augmentation of high-quality clips into training pairs; the defaults are the paper's (sec. 3.3)."""

    temporal_factors: tuple[int, ...] = Field(
        default=(1, 2, 3, 4, 5, 6, 7, 8), description="Key frames every m-th frame."
    )
    temporal_weights: tuple[float, ...] = Field(
        default=(1.0,) * 8, description="How often each temporal factor is drawn."
    )
    downscale_range: tuple[float, float] = Field(default=(1.0, 8.0), description="Range of the downscale factor s.")
    downscale_law: Law = Field(default="uniform", description="How s is spread over its range.")
    downscale_focus: tuple[float, ...] = Field(default=(4.0, 8.0), description="Factors drawn more often than others.")
    downscale_focus_weights: tuple[float, ...] = Field(
        default=(1.0, 2.0), description="How often each factor in focus is drawn among them."
    )
    downscale_focus_share: float = Field(default=0.6, ge=0, le=1, description="Share of clips at a factor in focus.")
    downscale_kernels: tuple[Kernel, ...] = Field(
        default=("area", "bicubic", "bilinear"), min_length=1, description="Anti-aliased kernels, one drawn a clip."
    )
    noise_augmentation_range: tuple[int, int] = Field(
        default=(1, 300), description="Range of the noise put on key frames, t' in timesteps."
    )
    noise_augmentation_law: Law = Field(default="uniform", description="How t' is spread over its range.")
    clean_key_frames: float = Field(
        default=0.0, ge=0, le=1, description="Share of clips whose key frames get no noise."
    )
    degraded_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of inputs with real-world damage: blur, noise, JPEG, codec, resizes.",
    )
    unstable_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of inputs that flicker, shimmer and ghost as generated video does."
    )
    damage_follows_noise: bool = Field(
        default=False,
        description="Damage only clips with noise on their key frames, as strongly as t' is high: the noise a user "
        "asks for then says how little the input is to be trusted.",
    )
    refined_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of groups at full size and rate, so that a model learns to refine; those with noise on "
        "their key frames are unstable.",
    )
    refined_sources: tuple[str, ...] = Field(
        default=(), description="Beginnings of the sources steady enough to be targets of those; all if left out."
    )
    steady_targets: bool = Field(
        default=False,
        description="Average targets with their neighbours along the motion, the more the noisier their key frames: "
        "the noise a user asks for then takes flicker out. Those of refined groups always count as very noisy.",
    )
    least_steadied: float = Field(
        default=0.0, ge=0, le=1, description="How strongly steady targets are averaged without any noise."
    )
    low_quality_share: float = Field(default=0.0, ge=0, le=1, description="Share of targets degraded and captioned so.")
    low_quality_caption: str = Field(
        default="blurry, low quality, jpeg artifacts", description="Caption of those targets."
    )
    high_quality_suffix: str = Field(default="", description="Added to the captions of the others.")
    words_vary: bool = Field(
        default=False,
        description="Half of the time say only some of those words of quality, in any order, so that each counts.",
    )
    prompt_dropout: float = Field(default=0.1, ge=0, le=1, description="Share of prompts replaced by the empty one.")

    def refining(self) -> Self:
        """Return the settings of a group at full size and rate."""
        one_size = {"downscale_focus": (1.0,), "downscale_focus_weights": (1.0,), "downscale_focus_share": 1.0}
        return self.model_copy(update={**one_size, "unstable_share": 1.0, "least_steadied": 1.0})

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        pairs = {
            "temporal_weights": (self.temporal_weights, self.temporal_factors),
            "downscale_focus_weights": (self.downscale_focus_weights, self.downscale_focus),
        }
        for name, (weights, values) in pairs.items():
            if len(weights) != len(values) or min(weights, default=0) < 0 or not sum(weights):
                raise ValueError(
                    f"{name} has {len(weights)} weights for {len(values)} values; give one each, not all 0"
                )
        bounds = {
            "downscale_range": (self.downscale_range, (1, 8)),
            "noise_augmentation_range": (self.noise_augmentation_range, (1, 300)),
            "temporal_factors": ((min(self.temporal_factors), max(self.temporal_factors)), (1, 8)),
            "downscale_focus": ((min(self.downscale_focus), max(self.downscale_focus)), (1, 8)),
        }
        for name, ((low, high), (least, most)) in bounds.items():
            if not least <= low <= high <= most:
                raise ValueError(f"{name} goes from {low} to {high}; allowed is {least} to {most}, the smaller first")
        return self


class ObjectiveSettings(Frozen):
    """What the networks learn: v-prediction, and optionally the result of their own few sampling steps in pixels."""

    min_snr_gamma: float | None = Field(
        default=None,
        gt=0,
        description="Weigh timesteps by min-SNR with this gamma (Hang et al. 2023); None weighs none.",
    )
    timestep_range: tuple[Annotated[int, Field(ge=0, le=999)], Annotated[int, Field(ge=0, le=999)]] = Field(
        default=(0, 999), description="First and last of the timesteps that v is learned at, all drawn alike."
    )
    finishing_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of steps spent on the sampler's own result, compared in pixels."
    )
    finishing_steps: int = Field(
        default=1, ge=1, le=4, description="Sampler steps of that result; gradients pass through the last one."
    )
    finishing_start_timestep: int = Field(default=899, ge=1, le=999, description="Where those steps start.")
    finishing_start_noise: float = Field(default=1.0, ge=0, le=1, description="Share of that timestep's noise there.")
    pixel_weight: float = Field(default=1.0, ge=0, description="Weight of the absolute pixel difference.")
    perceptual_weight: float = Field(default=0.0, ge=0, description="Weight of the VGG feature distance.")
    perceptual_frames: int = Field(default=1, ge=1, description="Frames of a group that the feature distance looks at.")
    perceptual_from_step: int = Field(
        default=0, ge=0, description="First step with the feature distance, so that fidelity can come first."
    )
    frame_difference_weight: float = Field(
        default=0.0, ge=0, description="Weight of errors in the change from frame to frame."
    )

    @model_validator(mode="after")
    def _first_timestep_first(self) -> Self:
        first, last = self.timestep_range
        if first > last:
            raise ValueError(f"timestep_range goes from {first} to {last}; give the smaller first")
        return self


class LoraSettings(Frozen):
    """Low-rank adapters, for `train: lora` (Hu et al. 2021); everything else stays frozen."""

    networks: tuple[Literal["unet", "controlnet"], ...] = Field(
        default=("controlnet",), min_length=1, description="Networks that get adapters: controlnet, unet or both."
    )
    rank: int = Field(default=16, ge=1, description="Rank of each adapter.")
    alpha: int = Field(default=16, ge=1, description="Adapters are scaled by alpha / rank.")
    layers: tuple[str, ...] = Field(
        default=("to_q", "to_k", "to_v", "to_out", "to_hidden"),
        min_length=1,
        description="Names of the linear layers that get adapters.",
    )


class DataSettings(Frozen):
    """Which clips are trained on, and which of their pixels; `data: PATH` in a recipe is short for its manifest."""

    manifest: Path = Field(description="A manifest that `venhancer train index` made, or the folder that holds it.")
    split: str = Field(default="train", min_length=1, description="Clips of this split are used.")
    captions: Path | None = Field(
        default=None, description="Text file that replaces the captions: one line for each clip of the split."
    )
    fps: Rate | None = Field(
        default=None, description="Frames a second, reached by frame skipping; each clip's own if left out."
    )
    skipping: Literal["nearest", "even"] = Field(
        default="nearest",
        description="Frames kept: those nearest to exact moments, or every n-th, which never judders.",
    )
    resize: Literal["none", "cover"] = Field(
        default="none", description="Crop clips as they are, or reduce them first until the crop just covers them."
    )
    crop_from: Literal["random", "centre"] = Field(default="random", description="Where crops are taken.")
    mirrored_share: float = Field(default=0.5, ge=0, le=1, description="Share of clips with left and right changed.")
    reversed_share: float = Field(default=0.5, ge=0, le=1, description="Share of clips shown backwards.")
    latent_cache: Path | None = Field(
        default=None,
        description="Folder in which clips are kept encoded, in 16 bits; only for centre crops never mirrored.",
    )

    @model_validator(mode="after")
    def _a_cache_needs_crops_that_stay(self) -> Self:
        if self.latent_cache is not None and (self.crop_from != "centre" or self.mirrored_share):
            given = f"crop_from {self.crop_from} and mirrored_share {self.mirrored_share:g}"
            raise ValueError(
                f"latent_cache cannot keep clips that look different each time ({given}); "
                "set crop_from: centre and mirrored_share: 0, or leave it out"
            )
        return self


def data_settings(value: object) -> object:
    """Return the data of a recipe; a path alone is short for its manifest."""
    return {"manifest": value} if isinstance(value, str | Path) else value


class LogSettings(Frozen):
    """What a run tells of itself, and when it stops by itself; nothing here changes what is learned."""

    bucket_window: int = Field(default=200, ge=1, description="Clips that the mean loss of a bucket is taken over.")
    validation_every: int = Field(
        default=500, ge=0, description="Steps between validations on clips that stay the same; 0 for none."
    )
    validation_clips: int = Field(default=4, ge=1, description="Clips of a validation.")
    validation_seed: int = Field(default=1, ge=0, description="Seed of those clips and of their noise.")
    pictures_every: int = Field(
        default=500, ge=0, description="Steps between sample grids and motion strips; 0 for none."
    )
    picture_clips: int = Field(default=2, ge=1, description="Validation clips that are shown in pictures.")
    spike_factor: float = Field(
        default=10.0, gt=1, description="Training stops when the loss is over this many times its running median ..."
    )
    spike_steps: int = Field(default=10, ge=1, le=50, description="... for so many steps in a row.")
    spike_window: int = Field(default=200, ge=100, description="Steps that the running median is taken over.")
