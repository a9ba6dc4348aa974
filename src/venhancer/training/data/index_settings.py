"""What a user can ask of `venhancer train index`; its flags are made from these fields."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from venhancer.errors import SettingsError
from venhancer.settings import Rate, Size


class IndexSettings(BaseModel):
    """How a folder becomes a manifest: what is cut, what is left out, what is said of the clips."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    licence: str = Field("", description="Terms of the clips, where no sidecar tells them.")
    split: str = Field("train", min_length=1, description="What the clips are for: train, or held_out of training.")
    captions: Path | None = Field(
        None, description="Text file of captions, one line for each file in order of name, instead of sidecars."
    )
    shortest: int = Field(17, ge=1, description="Shots of fewer frames are left out.")
    longest: int = Field(300, ge=2, description="Shots of more frames become several clips of equal length.")
    smallest: int = Field(128, ge=1, description="Clips whose shorter side has fewer pixels are left out.")
    darkest: float = Field(12, ge=0, le=255, description="Shots whose mean luma is below this are left out as black.")
    stillest: float = Field(
        0.4, ge=0, le=255, description="Shots whose luma changes less than this a frame are left out as static."
    )
    whole_files: bool = Field(default=False, description="Do not cut at shots.")
    moves: int = Field(
        4, ge=0, le=1000, description="Clips made of each still picture by moving a camera; 0 leaves pictures out."
    )
    move_size: Size = Field((480, 270), description="Width and height of those clips.")
    move_frames: int = Field(25, ge=2, le=1000, description="Frames of those clips.")
    parallax_share: float = Field(
        0.3, ge=0, le=1, description="Share of those clips with a piece of the picture passing in front, faster."
    )
    rate: Rate = Field("24", validate_default=True, description="Frames a second of arrays and of those clips.")
    shard_size: int | None = Field(
        None, ge=1, description="Also pack the files into tar shards of about so many MB, beside the manifest."
    )
    workers: int = Field(1, ge=1, le=256, description="Processes that look at files.")


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
