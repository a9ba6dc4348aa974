"""The settings of a training run: one frozen model a recipe file is read into; unknown keys are refused."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from venhancer.errors import SettingsError
from venhancer.training.settings_groups import (
    AugmentSettings,
    DataSettings,
    Frozen,
    LogSettings,
    LoraSettings,
    NetworkSettings,
    ObjectiveSettings,
    data_settings,
)


class TrainSettings(Frozen):
    """One training run; a recipe file holds these fields."""

    output: Path = Field(description="Folder for checkpoints, logs and the trained pipeline.")
    data: Annotated[DataSettings, BeforeValidator(data_settings)]
    start_from: Path | None = Field(
        default=None, description="Model to go on from: nano, v1, v2 or a pipeline folder; None starts from nothing."
    )
    fresh_controlnet: bool = Field(
        default=False, description="Begin with a new ControlNet, a copy of the base network as in the paper."
    )
    train: Literal["controlnet", "unet", "all", "lora"] = Field(
        default="controlnet", description="Which networks learn; the others stay frozen. lora trains adapters only."
    )
    train_text: bool | None = Field(
        default=None, description="Whether the text encoder learns; if left out, one that is new with the base network."
    )
    lora: LoraSettings = LoraSettings()
    network: NetworkSettings = NetworkSettings()
    augment: AugmentSettings = AugmentSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    log: LogSettings = LogSettings()
    relative_to_start: bool = Field(default=False, description="Predict what to add to the resized input.")
    between: Literal["repeat", "blend", "flow"] | None = Field(
        default=None, description="How frames between key frames start; the model's own way, or repeat from nothing."
    )
    steadying: float | None = Field(
        default=None, ge=0, description="How strongly the most noise averages key frames along their motion; likewise."
    )
    defaults: dict[str, float | int | str] = Field(
        default={}, description="Sampling defaults written into the pipeline."
    )
    crop: tuple[int, int] = Field(description="Height and width of a training crop, in pixels.")
    frames: int = Field(default=17, ge=1, description="Most frames in a training clip.")
    batch_size: int = Field(default=1, ge=1, description="Clips a step, over all processes.")
    micro_batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Clips computed at once: gradients of the others are added up. All of batch_size if left out.",
    )
    steps: int = Field(ge=1, description="Optimiser steps in all.")
    learning_rate: float = Field(default=1e-5, gt=0, description="Peak learning rate.")
    adam_epsilon: float = Field(
        default=1e-8, gt=0, description="AdamW's epsilon; parameters with far smaller gradients hardly learn."
    )
    adam_bits: Literal[8, 32] = Field(
        default=32, description="Bits of each of AdamW's moments; 8 needs torchao, a compiler, and no `shard`."
    )
    warmup: int = Field(default=0, ge=0, description="Steps of linear warm-up.")
    cosine_decay: bool = Field(default=False, description="Let the learning rate fall to zero along a cosine.")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW weight decay.")
    clip_norm: float = Field(default=1.0, gt=0, description="Gradients are clipped to this norm.")
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="Decay of the averaged weights that are shipped.")
    precision: Literal["no", "bf16"] = Field(default="no", description="Mixed precision of the networks.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Where to train; with several processes each takes a GPU of its own."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute blocks in the backward pass: far less memory, a third more time."
    )
    compile_blocks: bool = Field(default=False, description="Compile the repeated blocks of the networks.")
    shard: bool = Field(
        default=False, description="Share weights, gradients and moments out over the processes (FSDP2)."
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random.")
    workers: int = Field(default=1, ge=0, description="Processes that prepare clips; results do not depend on it.")
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(default=2, ge=1, description="Newest checkpoints kept.")
    keep_every: int | None = Field(
        default=None, ge=1, description="Checkpoints of steps that this divides are kept for good."
    )
    log_every: int = Field(default=20, ge=1, description="Steps between log lines.")

    @property
    def groups(self) -> int:
        """Groups of `micro_batch_size` clips in a step."""
        return self.batch_size // (self.micro_batch_size or self.batch_size)

    @model_validator(mode="after")
    def _batches_of_whole_groups(self) -> Self:
        if self.batch_size % (self.micro_batch_size or 1):
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of micro_batch_size {self.micro_batch_size}; change one"
            )
        return self

    @model_validator(mode="after")
    def _moments_that_can_be_shared_out(self) -> Self:
        if self.shard and self.adam_bits == 8:
            raise ValueError("adam_bits: 8 cannot be shared out over processes; set shard: false or adam_bits: 32")
        return self

    @model_validator(mode="after")
    def _something_to_start_from(self) -> Self:
        if self.start_from is None and (self.train in ("controlnet", "lora") or self.fresh_controlnet):
            given = "fresh_controlnet" if self.fresh_controlnet else f"train: {self.train}"
            raise ValueError(
                f"{given} needs start_from, a model whose base network stays as it is; "
                "name one, or train unet or all from nothing"
            )
        return self

    @model_validator(mode="after")
    def _adapters_are_of_the_networks(self) -> Self:
        if self.train_text and self.train == "lora":
            raise ValueError("train_text goes with train: unet, controlnet or all; adapters leave the text encoder")
        return self

    @model_validator(mode="after")
    def _network_of_the_model_to_start_from(self) -> Self:
        brought = sorted({"network", "relative_to_start"} & self.model_fields_set)
        if self.start_from is not None and brought:
            raise ValueError(f"{' and '.join(brought)} come from the model in start_from; leave them out")
        return self

    @model_validator(mode="after")
    def _a_cache_needs_targets_that_stay(self) -> Self:
        if self.data.latent_cache is not None and self.augment.low_quality_share:
            raise ValueError(
                f"latent_cache cannot keep targets that are sometimes degraded (augment.low_quality_share "
                f"{self.augment.low_quality_share:g}); set that to 0, or leave the cache out"
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
            return cls.model_validate(fields)
        except ValidationError as error:
            raise SettingsError(f"recipe {recipe}: {_first_line(error)}") from error


def _first_line(error: ValidationError) -> str:
    """Say in one line what is wrong with the first wrong field, with the nearest known name for an unknown one."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "the recipe"
    if first["type"] == "value_error":
        reason = str(first.get("ctx", {}).get("error"))
        return f"{name} {first['input']} {reason}" if reason.startswith("is ") else reason
    if first["type"] != "extra_forbidden":
        return f"{name} is {first['input']!r}: {first['msg'].lower()}"
    known = [field for group in Frozen.__subclasses__() for field in group.model_fields]
    near = get_close_matches(str(first["loc"][-1]), known, n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
