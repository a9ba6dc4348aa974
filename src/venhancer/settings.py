"""What a user can request, as one frozen model that flags, YAML keys, page widgets and the settings page are made from.

Every field says what it does and which values it takes; None stands for the model's own default, which the plan
resolves and shows. Nothing is silently corrected: each mistake raises `SettingsError` with one line.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from os import PathLike
from typing import Annotated, Any, Literal, Self

from PIL import ImageColor
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from venhancer.errors import SettingsError
from venhancer.windows import Fade

DEFAULT_SCALE = 4.0
SMALLEST_SIDE = 16
LARGEST_SIDE = 16384
LARGEST_RATE = 480
MOST_NOISE = 300  # augmentation, in timesteps (VEnhancer, sec. 3.3)
LONGEST = 360_000  # seconds
SMALLEST_MEMORY, LARGEST_MEMORY = 10**8, 10**15  # bytes

AnyPath = str | PathLike[str]
"""What the public functions take for a file or folder."""

Solver = Literal["dpmpp_2m_sde", "dpmpp_2m", "unipc", "heun", "ddim"]
Preset = Literal["exact", "balanced", "fast", "draft"]
Timetable = Literal["trailing", "fast"]
Penultimate = Literal["keep", "drop"]
Posterior = Literal["mode", "sample"]
ColorFix = Literal["wavelet", "adain", "none"]
Codec = Literal["h264", "hevc", "av1", "vp9", "prores", "ffv1", "png", "tiff", "gif", "webp"]
Deinterlace = Literal["marked", "all", "film", "none"]
Offload = Literal["none", "components", "groups"]
Encoder = Literal["software", "hardware", "nvenc", "qsv", "amf"]

NTSC_RATES = {
    "23.976": Fraction(24000, 1001),
    "23.98": Fraction(24000, 1001),
    "29.97": Fraction(30000, 1001),
    "47.952": Fraction(48000, 1001),
    "47.95": Fraction(48000, 1001),
    "59.94": Fraction(60000, 1001),
    "119.88": Fraction(120000, 1001),
}


def parse_ratio(value: object) -> Fraction:
    """Return an exact fraction for 24, "24.5" or "30000/1001", and the NTSC rate for its usual short form.

    Raises:
        ValueError: anything else, with the reason only; the caller names the field.
    """
    text = str(value).strip()
    if text in NTSC_RATES:
        return NTSC_RATES[text]
    if re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?|-?\d{1,9}/0*[1-9]\d{0,8}", text):
        return Fraction(text)
    raise ValueError("is not a plain number or fraction")


def parse_moment(value: object) -> Fraction:
    """Return exact seconds for 90, "90.5", "181/2", "1:30.5" or "0:01:30.500".

    Raises:
        ValueError: anything else, with the reason only; the caller names the field.
    """
    text = str(value).strip()
    if re.fullmatch(r"\d{1,18}/[1-9]\d{0,17}", text):
        return Fraction(text)
    parts = re.fullmatch(r"(?:(?:(\d{1,3}):)?([0-5]?\d):(?=[0-5]?\d(?!\d)))?(\d{1,9}(?:\.\d{1,9})?)", text)
    if parts is None:
        raise ValueError("is not a time")
    hours, minutes, seconds = (Fraction(part or 0) for part in parts.groups())
    return 3600 * hours + 60 * minutes + seconds


def parse_size(value: object) -> tuple[int, int]:
    """Return (width, height) for "1280x720" or a pair of whole numbers; both even and within the limits.

    Raises:
        ValueError: anything else, with the reason only; the caller names the field.
    """
    text = "x".join(str(side) for side in value) if isinstance(value, tuple | list) else str(value)
    sides = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text.strip().lower())
    if sides is None:
        raise ValueError("is not a size")
    width, height = int(sides[1]), int(sides[2])
    if width % 2 or height % 2:
        raise ValueError("has an odd side, which video cannot store")
    if min(width, height) < SMALLEST_SIDE or max(width, height) > LARGEST_SIDE:
        raise ValueError("is out of bounds")
    return width, height


def parse_color(value: object) -> str:
    """Return "#ff8000" for a colour by that or by its name, as browsers know it.

    Raises:
        ValueError: anything else, with the reason only; the caller names the field.
    """
    try:
        return "#" + bytes(ImageColor.getrgb(str(value).strip())[:3]).hex()
    except ValueError as error:
        raise ValueError("is not a colour") from error


def parse_memory(value: object) -> int:
    """Return bytes for "8GB", "500MB", "7.5GiB" or a number of them.

    Raises:
        ValueError: anything else, with the reason only; the caller names the field.
    """
    amount = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?(|[KMGT]i?)B?", str(value).strip(), re.IGNORECASE)
    if amount is None:
        raise ValueError("is not an amount of memory")
    prefix = amount[2].lower()
    size = 1024 if prefix.endswith("i") else 1000
    count = int(Fraction(amount[1]) * size ** " kmgt".index(prefix[:1] or " "))
    if not SMALLEST_MEMORY <= count <= LARGEST_MEMORY:
        raise ValueError("is out of bounds")
    return count


def format_memory(count: int) -> str:
    """Return bytes as "8.1GB" or "500MB", rounded up, so that `parse_memory` gives no less."""
    unit, name = (10**9, "GB") if count >= 10**9 else (10**6, "MB")
    tenths = -(-count * 10 // unit) if name == "GB" else -(-count // unit) * 10
    return f"{tenths / 10:g}{name}"


Rate = Annotated[Fraction, Field(gt=0, le=LARGEST_RATE), BeforeValidator(parse_ratio)]
Moment = Annotated[Fraction, Field(ge=0, le=LONGEST), BeforeValidator(parse_moment)]
Slowness = Annotated[Fraction, Field(ge=1, le=64), BeforeValidator(parse_ratio)]
Size = Annotated[tuple[int, int], BeforeValidator(parse_size)]
Color = Annotated[str, Field(max_length=30), BeforeValidator(parse_color)]
Memory = Annotated[int, BeforeValidator(parse_memory)]


class EnhanceSettings(BaseModel):
    """Everything a user can request of one enhancement; None means the model's default, and text is parsed.

    Raises:
        SettingsError: one line naming each value that cannot be, what is allowed and what to pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scale: float | None = Field(
        None,
        ge=1,
        le=8,
        description="Enlargement; 1 keeps the size. Default: 4, unless you pass a size.",
        json_schema_extra={"when_above": "or run twice"},
    )
    size: Size | None = Field(
        None,
        description="Exact output size, instead of a scale.",
        examples=["1280x720"],
    )
    fps: Rate | None = Field(
        None,
        description="Exact output frame rate; 23.976 means 24000/1001. Default: the clip's own.",
        examples=["24", "23.976", "30000/1001"],
    )
    input_fps: Rate | None = Field(
        None,
        description="Frame rate of numbered pictures. Default: 24.",
        examples=["30"],
    )
    start: Moment | None = Field(
        None,
        description="Start with the first frame at or after this time (seconds or hours:minutes:seconds).",
        examples=["90", "0:01:30.5"],
    )
    end: Moment | None = Field(
        None,
        description="Stop before the first frame at or after this time.",
        examples=["95.25", "1:02:03"],
    )
    slow: Slowness = Field(Fraction(1), description="Slow motion: how many times longer the clip lasts.")
    prompt: str = Field("", max_length=2000, description="What the clip shows; guides invented detail.")
    negative_prompt: str | None = Field(None, max_length=2000, description="What to avoid.")
    prompt_suffix: str | None = Field(None, max_length=2000, description="Quality words appended to the prompt.")
    preset: Preset = Field(
        "exact",
        description="How much work to save: names values of other settings. Those you pass go before it.",
    )
    steps: int | None = Field(None, ge=1, le=100, description="Solver steps; more take longer and give finer detail.")
    solver: Solver | None = Field(None, description="Sampling method.")
    timetable: Timetable | None = Field(
        None,
        description="How steps are spaced: evenly (trailing), or mostly late, as in the authors' fast mode (fast).",
    )
    penultimate: Penultimate | None = Field(
        None,
        description="Keep the penultimate noise level of dpmpp_2m_sde, or drop it as the published program does, "
        "which doubles the last step.",
    )
    guidance_scale: float | None = Field(
        None,
        ge=1,
        le=15,
        description="How strongly the prompt steers; 1 ignores the negative prompt and halves the work.",
    )
    guidance_rescale: float | None = Field(
        None, ge=0, le=1, description="How much of the contrast that guidance adds to remove."
    )
    guidance_from: int | None = Field(
        None,
        ge=0,
        le=999,
        description="Timestep from which guidance acts; where it does not, work halves.",
    )
    guidance_until: int | None = Field(None, ge=0, le=999, description="Last timestep at which guidance acts.")
    feature_reuse: float | None = Field(
        None,
        ge=0,
        le=1,
        description="How far latents may move, relative to their size, while steps reuse features of encoder and "
        "ControlNet.",
    )
    noise_augmentation: int | None = Field(
        None,
        ge=0,
        le=MOST_NOISE,
        description=f"Noise added to the input: 0 stays close to it, {MOST_NOISE} redraws it.",
    )
    start_timestep: int | None = Field(
        None,
        ge=1,
        le=999,
        description="Where denoising starts: low values stay close to the resized input, 999 is pure noise.",
    )
    start_noise: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the start timestep's noise to add: usually 1; 0 for models trained for few steps.",
    )
    posterior: Posterior | None = Field(
        None,
        description="Encode a frame as the mode of the autoencoder's distribution, or as a sample, as the published "
        "models expect.",
    )
    downscale_factor: float | None = Field(
        None,
        ge=1,
        le=8,
        description="Downscale factor that the network assumes. Default: the real one.",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Random seed.")
    window_frames: int | None = Field(
        None, ge=1, le=512, description="Most frames denoised together; fewer need less memory."
    )
    window_overlap: int | None = Field(
        None, ge=0, le=511, description="Frames that neighbouring windows share and blend."
    )
    window_fade: Fade | None = Field(
        None,
        description="How windows blend: evenly, or as in the published program, which leaves the first shared frames "
        "unblended.",
    )
    tile: Size | None = Field(
        None,
        description="Largest tile; smaller ones need less memory. Default: the whole picture.",
        examples=["1024x576"],
    )
    memory: Memory | None = Field(
        None,
        description="Memory limit; windows and tiles are chosen to fit. Default: the free memory.",
        examples=["8GB", "16GiB"],
    )
    offload: Literal["auto", "none", "components", "groups"] = Field(
        "auto",
        description="Weights that wait in main memory until the GPU needs them: none, all components but one, or all "
        "groups of blocks but one. auto picks the fastest that fits.",
    )
    compile: bool = Field(
        default=False,
        description="Compile the networks' blocks; the first step takes minutes.",
    )
    shots: bool = Field(
        default=True,
        description="Find cuts, so that nothing blends across them.",
        json_schema_extra={"off": "Do not look for cuts: treat the clip as one shot."},
    )
    drop_duplicates: bool = Field(
        default=False,
        description="Leave out frames that repeat the one before, put the others at even times, and make the frames "
        "between.",
    )
    deinterlace: Deinterlace = Field(
        "marked",
        description="Interlaced frames to rebuild: those marked so, all or none; film gathers telecined film frames.",
    )
    codec: Codec | None = Field(
        None,
        description="Output codec. Default: the target's usual one that keeps the bit depth.",
    )
    crf: int | None = Field(
        None,
        ge=0,
        le=63,
        description="Quality: 0 is best; h264 and hevc end at 51. Default: visually lossless.",
    )
    pix_fmt: str | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="FFmpeg's pixel format. Default: the codec's usual one for the bit depth.",
        examples=["yuv444p", "yuv420p10le"],
    )
    encoder: Encoder = Field(
        "software", description="hardware picks the first hardware encoder that works: faster, but coarser."
    )
    color_fix: ColorFix | None = Field(
        None,
        description="How to restore the input's colours: locally (wavelet), per frame (adain) or not at all.",
    )
    background: Color | None = Field(
        None,
        description="Colour behind transparent pixels; without it, transparent clips are refused.",
        examples=["black", "#ff8000"],
    )
    keep_damaged: bool = Field(
        default=False,
        description="Keep damaged frames as the decoder conceals them; otherwise they are refused.",
    )
    published: bool = Field(
        default=False,
        description="Compute exactly what the published program of v1 and v2 computes: sizes, rates, windows, "
        "padding, decoding and rounding.",
    )
    model: str = Field("nano", min_length=1, max_length=4000, description="nano, v1, v2 or a model folder.")

    @property
    def looks_through(self) -> bool:
        """Whether the frames are looked through before the work begins."""
        return self.looks_for_cuts or self.drop_duplicates

    @property
    def looks_for_cuts(self) -> bool:
        """Whether a clip is divided at its cuts; the published program knows none."""
        return self.shots and not self.published

    @model_validator(mode="after")
    def _one_way_to_say_the_size(self) -> Self:
        if self.scale is not None and self.size is not None:
            request = f"scale {self.scale:g} and size {self.size[0]}x{self.size[1]}"
            raise ValueError(f"{request} exclude each other; pass either --scale 1 to 8 or --size WIDTHxHEIGHT")
        return self

    @model_validator(mode="after")
    def _end_after_start(self) -> Self:
        if self.end is not None and self.end <= (self.start or 0):
            request = f"end {float(self.end):g} s is not above start {float(self.start or 0):g} s"
            raise ValueError(f"{request}; pass an --end above --start")
        return self

    @model_validator(mode="after")
    def _duplicates_of_our_own_layout(self) -> Self:
        if self.drop_duplicates and self.published:
            raise ValueError("the published program keeps every frame; leave out --drop-duplicates or --published")
        return self

    @model_validator(mode="after")
    def _presets_of_our_own_sampling(self) -> Self:
        if self.preset != "exact" and self.published:
            raise ValueError(f"the published program knows no preset {self.preset}; leave out --preset or --published")
        return self

    @model_validator(mode="after")
    def _windows_longer_than_their_overlap(self) -> Self:
        if self.window_frames is not None and (self.window_overlap or 0) >= self.window_frames:
            request = f"window_overlap {self.window_overlap or 0} is not below window_frames {self.window_frames}"
            raise ValueError(f"{request}; pass --window-overlap 0 to {self.window_frames - 1}")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _mistakes_in_one_line(cls, values: object, validate: Callable[[object], Self]) -> Self:
        try:
            return validate(values)
        except ValidationError as error:
            request = values if isinstance(values, Mapping) else {}
            raise SettingsError(". Also: ".join(_explain(detail, request) for detail in error.errors())) from error

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values for some fields, checked like all settings.

        Raises:
            SettingsError: as for new settings.
        """
        if update is None:
            return super().model_copy(deep=deep)
        return type(self).model_validate({name: getattr(self, name) for name in self.model_fields_set} | dict(update))


def parse_settings(**values: object) -> EnhanceSettings:
    """Return the settings these values mean, as given by flags, YAML keys or a page.

    Raises:
        SettingsError: see `EnhanceSettings`.
    """
    return EnhanceSettings.model_validate(values)


@cache
def field_schemas() -> Mapping[str, Any]:
    """Return the JSON schema of each field, made once: it takes milliseconds, and every flag asks for it."""
    return EnhanceSettings.model_json_schema()["properties"]


def allowed_values(name: str) -> str:
    """Return in words what a field takes, such as "1 to 8" or "h264 or ffv1"."""
    facts = _facts(field_schemas()[name])
    if facts.get("type") == "boolean":
        return "yes or no"
    if "enum" in facts:
        return _listed(facts["enum"])
    if "maxLength" in facts:
        words = f"text of up to {facts['maxLength']} characters"
    elif "exclusiveMinimum" in facts:
        words = f"above {_plain(facts['exclusiveMinimum'])} and up to {_plain(facts['maximum'])}"
    elif "minimum" in facts:
        words = f"{_plain(facts['minimum'])} to {_plain(facts['maximum'])}"
    elif name == "memory":
        words = f"{format_memory(SMALLEST_MEMORY)} or more"
    else:
        words = f"WIDTHxHEIGHT, even sides of {SMALLEST_SIDE} to {LARGEST_SIDE}"
    return f"{words}, such as {_listed(facts['examples'])}" if "examples" in facts else words


def _facts(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a field's schema with those of its alternatives laid into one."""
    branches = [_facts(branch) for branch in schema.get("anyOf", ())]
    return {key: fact for branch in (*branches, schema) for key, fact in branch.items()}


def _plain(bound: object) -> str:
    """Return a bound without the ".0" of a round one."""
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _listed(words: Sequence[str]) -> str:
    """Return "a, b or c"."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


_REASONS = {
    "greater_than": "is not above {gt}",
    "greater_than_equal": "is below {ge}",
    "less_than_equal": "is above {le}",
    "literal_error": "is unknown",
    "bool_parsing": "is neither yes nor no",
    "bool_type": "is neither yes nor no",
    "string_type": "is not text",
    "string_too_long": "is longer than {max_length} characters",
    "string_too_short": "is empty",
    "value_error": "{error}",
}
_NUMBER_REASONS = {"int": "is not a whole number", "float": "is not a number", "finite": "is not a number"}


def _explain(detail: ErrorDetails, values: Mapping[str, object]) -> str:
    """Return one line for one mistake: what was given, what is allowed, what to do."""
    context = {key: _plain(bound) for key, bound in detail.get("ctx", {}).items()}
    if not detail["loc"]:
        return context.get("error", detail["msg"])
    name, kind = str(detail["loc"][0]), detail["type"]
    names = list(EnhanceSettings.model_fields)
    if kind == "extra_forbidden":
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"settings are {', '.join(names)}"
        return f"unknown setting {_shown(name)}; {hint}"
    reason = _REASONS[kind].format(**context) if kind in _REASONS else _NUMBER_REASONS[kind.split("_")[0]]
    extra = EnhanceSettings.model_fields[name].json_schema_extra
    advice = f", {extra['when_above']}" if kind == "less_than_equal" and isinstance(extra, dict) else ""
    flag = name.replace("_", "-")
    return f"{name} {_shown(values[name])} {reason}; pass --{flag} {allowed_values(name)}{advice}"


def _shown(value: object) -> str:
    """Return a value for a line of text: quoted only where it needs it, long text cut."""
    if isinstance(value, tuple | list):
        value = "x".join(str(part) for part in value)
    text = str(value)
    plain = text if re.fullmatch(r"[\w.,/+x-]+", text) else repr(text)
    return plain if len(plain) <= 60 else f"{plain[:57]}..."
