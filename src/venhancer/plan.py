"""From a clip, settings and a model's traits to everything needed to do the work: sizes, times, key frames, windows.

Pure arithmetic, exact in fractions, and the one place where a request is either met to the pixel and the frame or
refused in one line. The plan is printed before the work begins, and the work follows it without deciding anything.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from venhancer.errors import InputError, SettingsError
from venhancer.estimate import Estimate, estimate_cost
from venhancer.layout import (
    SAME_SHAPE,
    Padding,
    Segment,
    cut_at,
    divide,
    format_number,
    lay_tiles,
    output_size,
    pad_to_grid,
    pixel_shape,
)
from venhancer.media.clip import ClipInfo
from venhancer.settings import EnhanceSettings
from venhancer.timeline import Timeline, format_moment, make_timeline
from venhancer.traits import ModelTraits, SamplingDefaults
from venhancer.windows import Tile

TABLES = {"source", "is_key", "timestamps"}  # one entry a frame: not for JSON
COLOR_FIXES = {
    "wavelet": "the input's low frequencies are given back (wavelet)",
    "adain": "the input's mean and spread are given back (adain)",
    "none": "as the model makes them",
}
FAST_EARLIEST_START = 530  # the fast timetable strides down to t = 500 and needs room above


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling(SamplingDefaults):
    """A model's sampling defaults with the settings laid over them.

    Args:
        prompt: the prompt with its suffix.
        seed: of all noise.
        downscale_factor: the downscaling that the network is told of.
    """

    prompt: str
    seed: int
    downscale_factor: float

    @property
    def evaluations(self) -> int:
        """How often the solver asks for x0."""
        return 2 * self.steps - 1 if self.solver == "heun" else self.steps


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhancePlan:
    """Everything needed to enhance one clip.

    Args:
        clip: the input.
        settings: what was asked for.
        traits: what is known of the model.
        width: of the output, in pixels, even.
        height: of the output, in pixels, even.
        padding: to the network's grid.
        cuts: input frames that begin a shot, without the first.
        timeline: when output frames are shown and which input frames they come from.
        sampling: how it is sampled.
        tiles: what of a picture is seen at once.
        segments: how the output is divided.
        estimate: what it will cost.
    """

    clip: ClipInfo
    settings: EnhanceSettings
    traits: ModelTraits
    width: int
    height: int
    padding: Padding
    cuts: tuple[int, ...]
    timeline: Timeline
    sampling: Sampling
    tiles: tuple[Tile, ...]
    segments: tuple[Segment, ...]
    estimate: Estimate

    @property
    def source(self) -> tuple[int, ...]:
        """For each output frame, the input frame it starts from."""
        return self.timeline.source

    @property
    def is_key(self) -> tuple[bool, ...]:
        """For each output frame, whether it is a key frame."""
        return self.timeline.is_key

    @property
    def rate(self) -> Fraction:
        """Output frames a second; the average if the timing varies."""
        return self.timeline.rate

    @property
    def frames(self) -> int:
        """Output frames."""
        return len(self.source)

    @property
    def duration(self) -> Fraction:
        """Seconds of output: the input's, slowed down, to within one output frame."""
        return self.timeline.duration

    @property
    def shots(self) -> tuple[range, ...]:
        """Output frames of each shot."""
        return tuple(dict.fromkeys(segment.shot for segment in self.segments))

    @property
    def depth(self) -> int:
        """Bits of each colour: frames are uint8 up to 8, and else uint16 with white at 65535."""
        return self.clip.depth

    @property
    def key_frames(self) -> tuple[int, ...]:
        """Numbers of the output frames that are key frames."""
        return tuple(index for index, is_key in enumerate(self.is_key) if is_key)

    @property
    def sample_aspect_ratio(self) -> Fraction:
        """Width of an output pixel by its height."""
        return pixel_shape(self.clip, self.width, self.height)

    @property
    def padded_width(self) -> int:
        """Width the network works at, in pixels."""
        return self.width + self.padding.left + self.padding.right

    @property
    def padded_height(self) -> int:
        """Height the network works at, in pixels."""
        return self.height + self.padding.top + self.padding.bottom

    @property
    def latent_width(self) -> int:
        """Columns of latents."""
        return self.padded_width // self.traits.pixels_per_latent

    @property
    def latent_height(self) -> int:
        """Rows of latents."""
        return self.padded_height // self.traits.pixels_per_latent

    def inputs_behind(self, frames: range) -> tuple[int, ...]:
        """Return the numbers of the input frames behind the key frames among some output frames."""
        return tuple(self.source[index] for index in frames if self.is_key[index])

    def frame_time(self, index: int) -> Fraction:
        """Return when an output frame is shown, in seconds from the first."""
        return self.timeline.frame_time(index)

    def describe(self) -> list[tuple[str, str]]:
        """Return the plan as rows of a label and a value, for printing."""
        return list(_describe(self))

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values: fractions as "24000/1001", ranges as [start, stop].

        Tables of one entry a frame are left out; they follow from the clip's times and the settings.
        """
        names = [field.name for field in fields(self) if field.name not in {"settings", "estimate"}]
        content = {name: _jsonable(getattr(self, name)) for name in names}
        return content | {
            "settings": self.settings.model_dump(mode="json"),
            "rate": _jsonable(self.rate),
            "frames": self.frames,
            "duration": _jsonable(self.duration),
            "estimate": asdict(self.estimate),
        }


def make_plan(
    clip: ClipInfo, settings: EnhanceSettings, traits: ModelTraits, *, cuts: Sequence[int] = ()
) -> EnhancePlan:
    """Return the plan that enhances `clip` exactly as the settings ask, or refuse.

    Args:
        clip: the input.
        settings: what is asked for.
        traits: of the model.
        cuts: input frames that begin a shot, without the first; nothing is blended or made across them.

    Raises:
        InputError: the clip is too small, or transparent with nothing behind it.
        SettingsError: the settings cannot be met for this clip and model.
    """
    clip = _made_opaque(clip, settings)
    width, height = output_size(clip, settings)
    padding = pad_to_grid(width, height, traits)
    timeline = make_timeline(clip, settings)
    key_frames = [index for index, is_key in enumerate(timeline.is_key) if is_key]
    sampling = _resolve_sampling(settings, traits, math.sqrt(width * height / (clip.width * clip.height)))
    segments = divide(
        cut_at(cuts, [timeline.source[key] for key in key_frames], key_frames, len(timeline.source)),
        key_frames,
        traits,
        window_frames=sampling.window_frames,
        window_overlap=sampling.window_overlap,
    )
    latent_width = (width + padding.left + padding.right) // traits.pixels_per_latent
    latent_height = (height + padding.top + padding.bottom) // traits.pixels_per_latent
    estimate = estimate_cost(
        traits,
        height=latent_height,
        width=latent_width,
        segments=[(segment.context, segment.windows) for segment in segments],
        evaluations=sampling.evaluations,
        is_guided=sampling.guidance_scale != 1,
    )
    return EnhancePlan(
        clip=clip,
        settings=settings,
        traits=traits,
        width=width,
        height=height,
        padding=padding,
        cuts=tuple(cuts),
        timeline=timeline,
        sampling=sampling,
        tiles=lay_tiles(latent_width, latent_height, settings.tile, traits),
        segments=segments,
        estimate=estimate,
    )


def _made_opaque(clip: ClipInfo, settings: EnhanceSettings) -> ClipInfo:
    """Return the clip as it is read: before the background asked for, if it is transparent."""
    if not clip.has_alpha:
        return clip
    if settings.background is None:
        raise InputError(f"{clip.path} is transparent, which is not kept; pass --background black, or another colour")
    red, green, blue = bytes.fromhex(settings.background.removeprefix("#"))
    return replace(clip, background=(red, green, blue))


def _resolve_sampling(settings: EnhanceSettings, traits: ModelTraits, true_factor: float) -> Sampling:
    """Return the model's sampling defaults with the settings laid over them."""
    names = [field.name for field in fields(SamplingDefaults)]
    given = {name: value for name in names if (value := getattr(settings, name)) is not None}
    defaults = replace(traits.defaults, **given)
    if settings.window_overlap is None:
        defaults = replace(defaults, window_overlap=min(defaults.window_overlap, defaults.window_frames // 2))
    if defaults.window_overlap >= defaults.window_frames:
        raise SettingsError(
            f"window_overlap {defaults.window_overlap} is not below the {defaults.window_frames} frames of a window; "
            f"pass --window-overlap 0 to {defaults.window_frames - 1}"
        )
    if defaults.timetable == "fast" and defaults.start_timestep < FAST_EARLIEST_START:
        raise SettingsError(
            f"start_timestep {defaults.start_timestep} is too late for the fast timetable; "
            f"pass --start-timestep {FAST_EARLIEST_START} to 999, or --timetable trailing"
        )
    return Sampling(
        **{name: getattr(defaults, name) for name in names},
        prompt=join_prompt(settings.prompt, defaults.prompt_suffix),
        seed=settings.seed,
        downscale_factor=settings.downscale_factor or true_factor,
    )


def join_prompt(prompt: str, suffix: str) -> str:
    """Return the prompt and its suffix as one sentence, so that their words never run together."""
    prompt = prompt.strip()
    if not prompt or not suffix:
        return prompt or suffix
    return f"{prompt} {suffix}" if prompt[-1] in ".,;:!?" else f"{prompt}, {suffix}"


def _describe(plan: EnhancePlan) -> Iterator[tuple[str, str]]:
    clip, settings, sampling = plan.clip, plan.settings, plan.sampling
    across, down = Fraction(plan.width, clip.width), Fraction(plan.height, clip.height)
    yield "input", f"{clip.path}: {_extent(clip)}, {clip.codec}"
    yield "output", f"{_extent(plan)}, {_compression(settings)}"
    told = f"the network is told {format_number(sampling.downscale_factor)}"
    if clip.background is not None:
        yield "background", "transparent pixels are laid over #{:02x}{:02x}{:02x}".format(*clip.background)
    yield "scale", f"{format_number(across)} across, {format_number(down)} down; {told}"
    pad = plan.padding
    sides = f"{pad.left} left, {pad.right} right, {pad.top} above, {pad.bottom} below"
    yield "padding", f"{sides}, to {plan.padded_width}x{plan.padded_height}; cropped off again"
    yield from _describe_time(plan)
    yield "model", f"{plan.traits.name}, {plan.traits.parameters / 1e6:,.1f} M parameters"
    yield "prompt", sampling.prompt or "none"
    yield "negative prompt", sampling.negative_prompt or "none"
    steps = f"{sampling.steps} {sampling.timetable} steps of {sampling.solver}"
    noise = "" if sampling.start_noise == 1 else f" with {format_number(sampling.start_noise)} of its noise"
    yield "sampling", f"{steps} from timestep {sampling.start_timestep}{noise}, seed {sampling.seed}"
    guidance = f"{format_number(sampling.guidance_scale)}, rescaled by {format_number(sampling.guidance_rescale)}"
    yield "guidance", guidance if sampling.guidance_scale != 1 else "none"
    yield "colours", COLOR_FIXES[sampling.color_fix]
    yield "noise augmentation", f"{sampling.noise_augmentation} of 300"
    if len(plan.shots) > 1:
        yield "shots", f"{len(plan.shots)}; nothing is made or blended across a cut"
    windows = [window for segment in plan.segments for window in segment.windows]
    longest = max(len(window) for window in windows)
    shared = f", sharing about {sampling.window_overlap}" if len(windows) > 1 else ""
    yield "windows", f"{len(windows)} of up to {longest} frames{shared}; segments: {len(plan.segments)}"
    if len(plan.tiles) > 1:
        first = plan.tiles[0]
        size = "x".join(str(len(side) * plan.traits.pixels_per_latent) for side in (first.columns, first.rows))
        yield "tiles", f"{len(plan.tiles)} of {size} pixels"
    yield "work", f"{plan.estimate.network_flops / 1e12:,.1f} TFLOP in the networks"
    full, half = (f"{plan.estimate.peak_bytes(size) / 1e9:,.1f} GB" for size in (4, 2))
    yield "memory", f"about {full} in 32 bits, {half} in 16 bits (an estimate)"
    yield from _describe_shape(plan)
    if clip.not_kept:
        yield "not kept", ", ".join(clip.not_kept)


def _compression(settings: EnhanceSettings) -> str:
    """Return what is asked of the encoder; what is not asked follows from the target's name."""
    asked = [settings.codec or "the target's usual codec"]
    asked += [f"crf {settings.crf}"] if settings.crf is not None else []
    asked += [settings.pix_fmt] if settings.pix_fmt else []
    return " ".join(asked) + (f" by {settings.encoder}" if settings.encoder != "software" else "")


def _describe_shape(plan: EnhancePlan) -> Iterator[tuple[str, str]]:
    """Yield what becomes of pixels that are not square, and of a shape that changes."""
    clip, shape = plan.clip, plan.sample_aspect_ratio
    across, down = Fraction(plan.width, clip.width), Fraction(plan.height, clip.height)
    if clip.sample_aspect_ratio != 1:
        kept = "as in the input" if shape == clip.sample_aspect_ratio else f"made of {clip.sample_aspect_ratio}"
        shown = f"{round(plan.width * shape)}x{plan.height}"
        yield "pixel shape", f"{shape}, {kept}" + (f"; shown as {shown}" if shape != 1 else "")
    if abs(across * shape / (down * clip.sample_aspect_ratio) - 1) > SAME_SHAPE:
        times = f"{format_number(across)} times across, {format_number(down)} times down"
        yield "warning", f"the picture is stretched: {times}"


def _describe_time(plan: EnhancePlan) -> Iterator[tuple[str, str]]:
    """Yield what is done to frames and their times before any network sees them."""
    clip, timeline = plan.clip, plan.timeline
    if len(timeline.inputs) < clip.frames:
        first, stop = timeline.inputs.start, timeline.inputs.stop
        times = f"{format_moment(clip.frame_time(first))} s to {format_moment(clip.frame_time(stop))} s"
        yield "part", f"{times}: frames {first} to {stop - 1} of {clip.frames}"
    if timeline.timestamps is not None:
        yield "timing", "every frame keeps its own time; pass --fps for an even rate"
    elif clip.timestamps is not None:
        yield "timing", f"made even: {format_number(timeline.rate)} fps"
    elif clip.jitter:
        off = format_number(float(1000 * clip.jitter))
        yield "timing", f"made even: frames are up to {off} ms off {format_number(clip.rate)} fps"
    if clip.is_interlaced:
        yield "interlacing", "every frame is made whole of its two fields and those around them"
    if turned := clip.orientation.describe():
        yield "turned", f"upright, as players show it: {turned}"
    told = [f"{timeline.keys} key frames", *([f"repeated {timeline.held} times"] if timeline.held else [])]
    made = plan.frames - timeline.keys - timeline.held
    left_out = f"; {timeline.left_out} input frames left out" if timeline.left_out else ""
    yield "frames", f"{', '.join(told)} and {made} made between and after them{left_out}"


def _extent(video: ClipInfo | EnhancePlan) -> str:
    times = (video.timeline if isinstance(video, EnhancePlan) else video).timestamps
    rate, seconds = format_number(video.rate), format_number(video.duration)
    shown = f"{rate} fps" if times is None else f"{rate} fps on average"
    return f"{video.width}x{video.height}, {shown}, {video.frames} frames, {seconds} s"


def _jsonable(value: object) -> object:
    """Return a value of the plan in JSON's types."""
    if is_dataclass(value):
        return {
            field.name: _jsonable(getattr(value, field.name)) for field in fields(value) if field.name not in TABLES
        }
    if isinstance(value, range):
        return [value.start, value.stop]
    if isinstance(value, tuple):
        return [_jsonable(part) for part in value]
    return str(value) if isinstance(value, Fraction | Path) else value
