"""The settings of training: a run's, as a recipe file holds them, and those of `venhancer train index`; no torch.

Frozen models; unknown keys are refused.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from venhancer.errors import SettingsError, WeightsError
from venhancer.model_files.traits import parse_defaults
from venhancer.settings import MOST_NOISE, Rate, Size

Law: TypeAlias = Literal["uniform", "log"]
DownscaleKernel: TypeAlias = Literal["area", "bicubic", "bilinear"]


class Frozen(BaseModel):
    """A settings group: immutable, and every key in it is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSettings(Frozen):
    """Widths of a model made from nothing; see `venhancer.model_files.network_shape.NetworkShape`."""

    latent_channels: int = Field(
        default=24,
        ge=1,
        description="Channels of the linear autoencoder; 3 * patch^2 makes it lossless, with overlapping blocks.",
    )
    patch: int = Field(default=4, ge=1, description="Side of a latent, in pixels.")
    faintest_channel: float | None = Field(
        default=None,
        gt=0,
        description="Give the lossless autoencoder's channels unit variance, as diffusion needs; those fainter than "
        "this share of the whole get less. Default: one gain for all.",
    )
    base_channels: int = Field(default=48, ge=8, description="Width of the first level.")
    channel_mults: tuple[int, ...] = Field(
        default=(1, 2, 2), description="Width of each level, relative to base_channels."
    )
    blocks_per_level: int = Field(default=1, ge=1, description="ResBlocks per level on the way down.")
    attention_levels: tuple[bool, ...] = Field(default=(False, False, True), description="Levels with transformers.")
    head_dim: int = Field(default=16, ge=1, description="Width of an attention head.")
    text_dim: int = Field(default=64, ge=8, description="Width of text embeddings.")
    text_layers: int = Field(default=2, ge=1, description="Layers of the text encoder.")
    entry_heads: int = Field(default=3, ge=0, description="Heads of the first temporal transformer; 0 for none.")
    norm_groups: int = Field(default=16, ge=0, description="Groups of group normalisation; 0 for none.")
    temporal_convs: int = Field(default=4, ge=0, description="Temporal convolutions per ResBlock.")
    middle_attention: bool = Field(default=True, description="Whether the middle has transformers.")
    control_channels: int | None = Field(
        default=None, ge=8, description="Width of the ControlNet. Default: a copy of the base network's encoder."
    )


def several(value: object) -> object:
    """Return one value as a sequence of it."""
    return (value,) if isinstance(value, int) else value


class AugmentSettings(Frozen):
    """Space-time augmentation of high-quality clips into training pairs; the defaults are the paper's (sec. 3.3)."""

    temporal_factors: tuple[int, ...] = Field(
        default=(1, 2, 3, 4, 5, 6, 7, 8), description="Every m-th frame is a key frame; m is one of these."
    )
    temporal_weights: tuple[float, ...] = Field(default=(1.0,) * 8, description="Weight of each m.")
    downscale_range: tuple[float, float] = Field(default=(1.0, 8.0), description="Range of the downscale factor s.")
    downscale_law: Law = Field(default="uniform", description="Distribution of s.")
    downscale_focus: tuple[float, ...] = Field(default=(4.0, 8.0), description="Values of s drawn more often.")
    downscale_focus_weights: tuple[float, ...] = Field(default=(1.0, 2.0), description="Their weights.")
    downscale_focus_share: float = Field(default=0.6, ge=0, le=1, description="Share of clips that use one of them.")
    downscale_kernels: tuple[DownscaleKernel, ...] = Field(
        default=("area", "bicubic", "bilinear"), min_length=1, description="Anti-aliased kernels; each clip draws one."
    )
    noise_augmentation_range: tuple[int, int] = Field(
        default=(1, MOST_NOISE), description="Range of t', the timestep of the noise on key frames."
    )
    noise_augmentation_law: Law = Field(default="uniform", description="Distribution of t'.")
    clean_key_frames: float = Field(default=0.0, ge=0, le=1, description="Share of clips without noise on key frames.")
    degraded_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of inputs with real-world damage: blur, noise, JPEG, video codec, resizing.",
    )
    unstable_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of inputs that flicker, shimmer and ghost like generated video."
    )
    damage_follows_noise: bool = Field(
        default=False,
        description="Damage only clips with noise on key frames, in proportion to t'. Noise augmentation then says "
        "how little to trust the input.",
    )
    low_quality_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of targets that are degraded and captioned so."
    )
    low_quality_caption: str = Field(
        default="blurry, low quality, jpeg artifacts", description="Caption of those targets."
    )
    high_quality_suffix: str = Field(default="", description="Appended to all other captions.")
    prompt_dropout: float = Field(default=0.1, ge=0, le=1, description="Share of prompts left empty.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        pairs = {
            "temporal_weights": (self.temporal_weights, self.temporal_factors),
            "downscale_focus_weights": (self.downscale_focus_weights, self.downscale_focus),
        }
        for name, (weights, values) in pairs.items():
            if len(weights) != len(values) or min(weights, default=0) < 0 or not sum(weights):
                raise ValueError(
                    f"{name} has {len(weights)} weights for {len(values)} values; set one for each, not all 0"
                )
        bounds = {
            "downscale_range": (self.downscale_range, (1, 8)),
            "noise_augmentation_range": (self.noise_augmentation_range, (1, MOST_NOISE)),
            "temporal_factors": ((min(self.temporal_factors), max(self.temporal_factors)), (1, 8)),
            "downscale_focus": ((min(self.downscale_focus), max(self.downscale_focus)), (1, 8)),
        }
        for name, ((low, high), (least, most)) in bounds.items():
            if not least <= low <= high <= most:
                raise ValueError(f"{name} goes from {low} to {high}; set {least} to {most}, the smaller first")
        return self


class ObjectiveSettings(Frozen):
    """What the networks learn: v-prediction, and optionally the result of their own few sampling steps in pixels."""

    min_snr_gamma: float | None = Field(
        default=None,
        gt=0,
        description="Gamma of min-SNR weighting (Hang et al. 2023). Default: equal weights.",
    )
    timestep_range: tuple[Annotated[int, Field(ge=0, le=999)], Annotated[int, Field(ge=0, le=999)]] = Field(
        default=(0, 999), description="First and last timestep at which v is learned; drawn uniformly."
    )
    velocity_pixel_weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight of squared errors of v as pixels, where loud channels count more; needs a linear "
        "autoencoder.",
    )
    finishing_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of groups trained on the sampler's own result, compared in pixels."
    )
    finishing_steps: int = Field(
        default=1, ge=1, le=4, description="Sampler steps to that result; gradients pass through the last."
    )
    finishing_start_timestep: Annotated[
        tuple[Annotated[int, Field(ge=1, le=999)], ...], Field(min_length=1), BeforeValidator(several)
    ] = Field(default=(899,), description="Timestep where those steps start, or several to draw from.")
    finishing_start_noise: float = Field(default=1.0, ge=0, le=1, description="Share of that timestep's noise to add.")
    finishing_frames: int | None = Field(
        default=None, ge=1, description="Consecutive frames that are decoded and compared. Default: all."
    )
    finishing_target: Literal["truth", "teacher"] = Field(
        default="truth",
        description="Compare with the clip, or with what the frozen networks sample by their own defaults; the latter "
        "needs train: lora.",
    )
    guidance_range: tuple[Annotated[float, Field(ge=1, le=15)], Annotated[float, Field(ge=1, le=15)]] | None = Field(
        default=None,
        description="Learn what the frozen networks predict with guidance, at scales drawn from here; needs "
        "lora.guidance_input.",
    )
    latent_weight: float = Field(default=0.0, ge=0, description="Weight of squared errors of latents, in finishing.")
    adversarial_weight: float = Field(
        default=0.0, ge=0, description="Weight of a discriminator of latents, which learns beside; 0 for none."
    )
    pixel_weight: float = Field(default=1.0, ge=0, description="Weight of absolute pixel errors.")
    perceptual_weight: float = Field(default=0.0, ge=0, description="Weight of VGG feature distances.")
    perceptual_frames: int = Field(default=1, ge=1, description="Frames per group whose features are compared.")
    perceptual_from_step: int = Field(
        default=0, ge=0, description="First step that compares features, so that fidelity comes first."
    )
    frame_difference_weight: float = Field(
        default=0.0, ge=0, description="Weight of errors in the change from frame to frame."
    )
    neighbour_weight: float = Field(
        default=0.0, ge=0, description="Weight of errors in the differences of neighbouring pixels."
    )
    frequency_weight: float = Field(
        default=0.0, ge=0, description="Weight of errors in a picture's frequencies, by amplitude and phase."
    )
    texture_weight: float = Field(
        default=0.0, ge=0, description="Weight of errors in how much neighbouring pixels differ in an area."
    )
    motion_level_weight: float = Field(
        default=0.3, ge=0, description="Weight of errors of the motion network's coarser levels; for train: motion."
    )

    @model_validator(mode="after")
    def _first_timestep_first(self) -> Self:
        for name, span in (("timestep_range", self.timestep_range), ("guidance_range", self.guidance_range)):
            if span is not None and span[0] > span[1]:
                raise ValueError(f"{name} goes from {span[0]:g} to {span[1]:g}; set the smaller first")
        return self


class MotionSettings(Frozen):
    """The network that moves key frames to the times between, for `train: motion`; the others stay frozen."""

    channels: tuple[Annotated[int, Field(ge=8)], ...] = Field(
        default=(32, 48, 64, 96, 96), min_length=2, description="Width of each level, the finest first."
    )


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
        description="Names of the linear layers and convolutions that get adapters; those at the networks' ends get "
        "none.",
    )
    guidance_input: bool = Field(
        default=False, description="Let the base network take the guidance scale as an input, which learns too."
    )


class DataSettings(Frozen):
    """Which clips are trained on, and which of their pixels; `data: PATH` in a recipe is short for its manifest."""

    manifest: Path = Field(description="Manifest from `venhancer train index`, or its folder.")
    split: str = Field(default="train", min_length=1, description="Split to train on.")
    captions: Path | None = Field(
        default=None, description="Text file that replaces the captions, one line per clip of the split."
    )
    fps: Rate | None = Field(
        default=None, description="Frame rate, reached by skipping frames. Default: each clip's own."
    )
    skipping: Literal["nearest", "even"] = Field(
        default="nearest",
        description="Use the frames nearest to exact times, or every n-th, which never judders.",
    )
    resize: Literal["none", "cover"] = Field(
        default="none", description="Crop clips as they are, or first reduce them until they just cover the crop."
    )
    crop_from: Literal["random", "centre"] = Field(default="random", description="Position of the crop.")
    crop_choices: int = Field(
        default=1, ge=1, description="Crops drawn from a clip, of which the one with most detail is used."
    )
    mirrored_share: float = Field(default=0.5, ge=0, le=1, description="Share of clips flipped horizontally.")
    reversed_share: float = Field(default=0.5, ge=0, le=1, description="Share of clips played backwards.")
    latent_cache: Path | None = Field(
        default=None,
        description="Folder for clips encoded in 16 bits; needs centre crops and no mirroring.",
    )

    @model_validator(mode="after")
    def _a_cache_needs_crops_that_stay(self) -> Self:
        if self.latent_cache is not None and (self.crop_from != "centre" or self.mirrored_share):
            crops = f"crop_from {self.crop_from} and mirrored_share {self.mirrored_share:g}"
            raise ValueError(
                f"latent_cache needs clips that look the same every time, not {crops}; set crop_from: centre and "
                f"mirrored_share: 0, or omit latent_cache"
            )
        return self


def data_settings(value: object) -> object:
    """Return the data of a recipe; a path alone is short for its manifest."""
    return {"manifest": value} if isinstance(value, str | Path) else value


class LogSettings(Frozen):
    """What a run reports, and when it stops by itself; nothing here changes the result."""

    bucket_window: int = Field(default=200, ge=1, description="Clips in a bucket's mean loss.")
    validation_every: int = Field(
        default=500, ge=0, description="Steps between validations on fixed clips; 0 for none."
    )
    validation_clips: int = Field(default=4, ge=1, description="Clips per validation.")
    validation_seed: int = Field(default=1, ge=0, description="Seed of those clips and their noise.")
    pictures_every: int = Field(
        default=500, ge=0, description="Steps between sample grids and motion strips; 0 for none."
    )
    picture_clips: int = Field(default=2, ge=1, description="Validation clips shown in pictures.")
    spike_factor: float = Field(
        default=10.0, gt=1, description="Stop when the loss exceeds its running median this many times."
    )
    spike_steps: int = Field(default=10, ge=1, le=50, description="Steps in a row above that before training stops.")
    spike_window: int = Field(default=200, ge=100, description="Steps in the running median.")


class TrainSettings(Frozen):
    """One training run; a recipe file holds these fields."""

    output: Path = Field(description="Folder for checkpoints, logs and the trained pipeline.")
    data: Annotated[DataSettings, BeforeValidator(data_settings)]
    start_from: Path | None = Field(
        default=None, description="Model to start from: nano, v1, v2 or a model folder. Default: from scratch."
    )
    fresh_controlnet: bool = Field(
        default=False, description="Start with a new ControlNet, copied from the base network as in the paper."
    )
    train: Literal["controlnet", "unet", "all", "lora", "motion"] = Field(
        default="controlnet",
        description="Networks that learn; the rest stay frozen. lora trains adapters only; all leaves out motion.",
    )
    train_text: bool | None = Field(
        default=None, description="Whether the text encoder learns. Default: only from scratch."
    )
    lora: LoraSettings = LoraSettings()
    motion: MotionSettings = MotionSettings()
    network: NetworkSettings = NetworkSettings()
    augment: AugmentSettings = AugmentSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    log: LogSettings = LogSettings()
    between: Literal["repeat", "blend", "interpolate"] | None = Field(
        default=None,
        description="How frames between key frames start. Default: the model's own way; from scratch, repeat.",
    )
    steadying: float | None = Field(
        default=None,
        ge=0,
        description="How strongly the most noise averages key frames along their motion. Default: the model's own; "
        "from scratch, 0.",
    )
    enlarging: Literal["bilinear", "bicubic", "sharp"] | None = Field(
        default=None, description="How key frames are enlarged. Default: the model's own way; from scratch, bilinear."
    )
    consistency: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="How closely a result, reduced again, matches a clean input. Default: the model's own; from "
        "scratch, 0.",
    )
    defaults: dict[str, float | int | str] = Field(default={}, description="Sampling defaults of the trained model.")
    crop: tuple[int, int] = Field(description="Height and width of crops, in pixels.")
    frames: int = Field(default=17, ge=1, description="Most frames per clip.")
    batch_size: int = Field(default=1, ge=1, description="Clips per step, over all processes.")
    micro_batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Clips computed at once; gradients accumulate. Default: batch_size.",
    )
    steps: int = Field(ge=1, description="Total optimiser steps.")
    learning_rate: float = Field(default=1e-5, gt=0, description="Peak learning rate.")
    optimizer: Literal["adamw", "muon"] = Field(
        default="adamw", description="muon orthogonalises the updates of hidden convolutions; AdamW does the rest."
    )
    adam_epsilon: float = Field(
        default=1e-8, gt=0, description="AdamW's epsilon; parameters with far smaller gradients hardly learn."
    )
    adam_bits: Literal[8, 32] = Field(
        default=32, description="Bits of AdamW's moments; 8 needs torchao, a compiler and `shard: false`."
    )
    warmup: int = Field(default=0, ge=0, description="Steps of linear warm-up.")
    cosine_decay: bool = Field(default=False, description="Decay the learning rate to zero along a cosine.")
    decay_steps: int = Field(default=0, ge=0, description="Last steps, over which the learning rate falls to zero.")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW weight decay.")
    clip_norm: float = Field(default=1.0, gt=0, description="Largest gradient norm; larger gradients are scaled down.")
    ema_decay: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of the averaged weights, which are the result."
    )
    precision: Literal["auto", "no", "bf16"] = Field(
        default="no",
        description="Mixed precision; auto uses bf16 where the hardware has instructions for it.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Where to train; with several processes, each takes its own GPU."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute blocks in the backward pass: far less memory, a third more time."
    )
    compile_blocks: bool = Field(default=False, description="Compile the repeated blocks of the networks.")
    shard: bool = Field(default=False, description="Shard weights, gradients and moments across processes (FSDP2).")
    seed: int = Field(default=0, ge=0, description="Random seed.")
    workers: int = Field(default=1, ge=0, description="Processes that prepare clips; they do not change the result.")
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(default=2, ge=1, description="Newest checkpoints to keep.")
    keep_every: int | None = Field(default=None, ge=1, description="Also keep checkpoints at multiples of this step.")
    log_every: int = Field(default=20, ge=1, description="Steps between log lines.")
    next_recipe: Path | None = Field(
        default=None, description="Recipe to train by when this run is done; relative to this one's file."
    )

    @property
    def groups(self) -> int:
        """Groups of `micro_batch_size` clips in a step."""
        return self.batch_size // (self.micro_batch_size or self.batch_size)

    @model_validator(mode="after")
    def _batches_of_whole_groups(self) -> Self:
        if self.batch_size % (self.micro_batch_size or 1):
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size}; change it"
            )
        return self

    @model_validator(mode="after")
    def _one_decay(self) -> Self:
        if self.cosine_decay and self.decay_steps:
            raise ValueError("cosine_decay and decay_steps both lower the learning rate; omit one")
        return self

    @model_validator(mode="after")
    def _moments_that_can_be_shared_out(self) -> Self:
        if self.shard and self.adam_bits == 8:
            raise ValueError("adam_bits: 8 cannot be sharded; set shard: false or adam_bits: 32")
        return self

    @model_validator(mode="after")
    def _defaults_that_a_model_can_have(self) -> Self:
        try:
            parse_defaults("of the recipe", {"defaults": self.defaults})
        except WeightsError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _something_to_start_from(self) -> Self:
        if self.start_from is None and (self.train in ("controlnet", "lora", "motion") or self.fresh_controlnet):
            need = "fresh_controlnet" if self.fresh_controlnet else f"train: {self.train}"
            raise ValueError(
                f"{need} needs start_from, a model whose base network stays frozen; set it, or train unet or all from "
                f"scratch"
            )
        return self

    @model_validator(mode="after")
    def _adapters_are_of_the_networks(self) -> Self:
        if self.train_text and self.train in ("lora", "motion"):
            raise ValueError(f"train_text does not work with train: {self.train}; set train: unet, controlnet or all")
        return self

    @model_validator(mode="after")
    def _a_frozen_teacher(self) -> Self:
        objective, takes_guidance = self.objective, self.train == "lora" and self.lora.guidance_input
        if (objective.guidance_range is not None) != takes_guidance:
            raise ValueError("objective.guidance_range and lora.guidance_input need each other, and train: lora")
        if objective.finishing_target == "teacher" and self.train != "lora":
            raise ValueError(f"finishing_target: teacher needs train: lora, not {self.train}; without, omit it")
        return self

    @model_validator(mode="after")
    def _network_of_the_model_to_start_from(self) -> Self:
        if self.start_from is not None and "network" in self.model_fields_set:
            raise ValueError("network comes from the model in start_from; omit it")
        return self

    @model_validator(mode="after")
    def _a_cache_needs_targets_that_stay(self) -> Self:
        if self.data.latent_cache is not None and self.augment.low_quality_share:
            raise ValueError(
                f"latent_cache cannot store targets that are sometimes degraded (augment.low_quality_share "
                f"{self.augment.low_quality_share:g}); set that to 0, or omit latent_cache"
            )
        return self

    @property
    def learns_text(self) -> bool:
        """Whether the text encoder learns."""
        is_new_with_base = self.start_from is None and self.train in ("unet", "all")
        return is_new_with_base if self.train_text is None else self.train_text

    @classmethod
    def from_file(cls, recipe: Path) -> Self:
        """Return the settings in a YAML recipe.

        Raises:
            SettingsError: the file is missing, is not YAML, or has a wrong or unknown field; one line.
        """
        try:
            fields = yaml.safe_load(recipe.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise SettingsError(f"recipe {recipe} cannot be read: {' '.join(str(error).split())}") from error
        try:
            settings = cls.model_validate(fields)
        except ValidationError as error:
            raise SettingsError(f"recipe {recipe}: {_first_line(error)}") from error
        if settings.next_recipe is None:
            return settings
        return settings.model_copy(update={"next_recipe": recipe.parent / settings.next_recipe})

    @classmethod
    def in_turn(cls, recipe: Path) -> list[Self]:
        """Return the settings in a YAML recipe, then those of every recipe that follows it.

        Raises:
            SettingsError: as `from_file`, or a recipe follows itself.
        """
        recipes, following, every = list[Path](), recipe, list[Self]()
        while following is not None:
            if following.resolve() in recipes:
                raise SettingsError(f"recipe {recipe}: {following} would run twice; omit its next_recipe")
            recipes.append(following.resolve())
            every.append(cls.from_file(following))
            following = every[-1].next_recipe
        return every


def _first_line(error: ValidationError) -> str:
    """Return one line about the first wrong field, with the nearest known name for an unknown one."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "the recipe"
    if first["type"] == "value_error":
        reason = str(first.get("ctx", {}).get("error"))
        return f"{name} {first['input']} {reason}" if reason.startswith("is ") else reason
    if first["type"] != "extra_forbidden":
        return f"{name} is {first['input']!r}: {first['msg'].lower()}"
    names = [field for group in Frozen.__subclasses__() for field in group.model_fields]
    near = get_close_matches(str(first["loc"][-1]), names, n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")


class IndexSettings(BaseModel):
    """How a folder becomes a manifest: cuts, clips left out, facts about clips."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    licence: str = Field("", description="Licence of clips whose sidecar names none.")
    split: str = Field("train", min_length=1, description="Split of the clips: train or held_out.")
    captions: Path | None = Field(
        None, description="Text file of captions instead of sidecars, one line per file in order of name."
    )
    shortest: int = Field(17, ge=1, description="Skip shots of fewer frames.")
    longest: int = Field(300, ge=2, description="Split shots of more frames into equal clips.")
    smallest: int = Field(128, ge=1, description="Skip clips whose shorter side has fewer pixels.")
    darkest: float = Field(12, ge=0, le=255, description="Skip shots with a lower mean luma (0 to 255).")
    stillest: float = Field(0.4, ge=0, le=255, description="Skip shots whose luma changes less per frame.")
    whole_files: bool = Field(default=False, description="Do not split files at cuts.")
    moves: int = Field(4, ge=0, le=1000, description="Camera moves per still picture; 0 leaves pictures out.")
    move_size: Size = Field((480, 270), description="Size of camera moves.")
    move_frames: int = Field(25, ge=2, le=1000, description="Frames per camera move.")
    parallax_share: float = Field(
        0.3, ge=0, le=1, description="Share of camera moves with a faster layer passing in front."
    )
    rate: Rate = Field("24", validate_default=True, description="Frames per second of arrays and camera moves.")
    shard_size: int | None = Field(
        None, ge=1, description="Also pack the files into tar shards of about this many MB, beside the manifest."
    )
    workers: int = Field(1, ge=1, le=256, description="Processes that inspect files.")


def parse_index_settings(**values: object) -> IndexSettings:
    """Return the settings that these values mean; text is understood.

    Raises:
        SettingsError: one line for the first value that cannot be.
    """
    try:
        return IndexSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        reason = first.get("ctx", {}).get("error") if first["type"] == "value_error" else first["msg"].lower()
        raise SettingsError(f"--{name.replace('_', '-')} {values.get(name)}: {reason}") from error
