"""From a clip, settings and a model's traits to everything needed to do the work: sizes, times, key frames, windows.

Pure arithmetic, exact in fractions, and the one place where a request is either met to the pixel and the frame or
refused in one line. The plan is printed before the work begins, and the work follows it without deciding anything.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from venhancer.errors import InputError, SettingsError
from venhancer.media.clip import ClipInfo
from venhancer.media.reading.cadence import Cadence
from venhancer.media.reading.fields import Fields
from venhancer.model_files.traits import ModelTraits
from venhancer.planning.estimate import Estimate
from venhancer.planning.execution import Execution
from venhancer.planning.footprint import Footprint
from venhancer.planning.key_pictures import KeyPicture, check_key_pictures
from venhancer.planning.layout import (
    Padding,
    Segment,
    cut_at,
    format_number,
    output_size,
    pad_to_grid,
    pixel_shape,
)
from venhancer.planning.memory import Layout, Machine, Task, choose_layout, smaller_layout
from venhancer.planning.sampling import Sampling, resolve_sampling
from venhancer.planning.timeline import Timeline, make_timeline
from venhancer.published import Program, program_of
from venhancer.settings import EnhanceSettings
from venhancer.windows import Tile

TABLES = {"source", "is_key", "timestamps", "repeats"}  # one entry a frame: not for JSON
UNKNOWN_MACHINE = Machine()
NO_CADENCE = Cadence()
NO_FIELDS = Fields()
GATHERED_FROM = ("yuv420p", "yuv422p", "yuv444p")
"""Pixel formats in which film frames can be gathered; libav would convert any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhancePlan:
    """Everything needed to enhance one clip.

    Args:
        clip: the input.
        settings: the request.
        traits: what is known of the model.
        width: of the output, in pixels, even.
        height: of the output, in pixels, even.
        padding: to the network's grid.
        cuts: input frames that begin a shot, without the first.
        cadence: what of the input repeats, as far as it was looked through.
        fields: what its lines show, likewise.
        timeline: when output frames are shown and which input frames they come from.
        sampling: how it is sampled.
        layout: how the output is divided and worked on within the memory there is.
        machine: what it was planned for.
        key_pictures: the user's own key frames.
    """

    clip: ClipInfo
    settings: EnhanceSettings
    traits: ModelTraits
    width: int
    height: int
    padding: Padding
    cuts: tuple[int, ...]
    cadence: Cadence
    fields: Fields
    timeline: Timeline
    sampling: Sampling
    layout: Layout
    machine: Machine
    key_pictures: tuple[KeyPicture, ...] = ()

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """What of a picture the networks see at once."""
        return self.layout.tiles

    @property
    def coded_tiles(self) -> tuple[Tile, ...]:
        """What of a picture the autoencoder sees at once."""
        return self.layout.coded_tiles

    @property
    def segments(self) -> tuple[Segment, ...]:
        """How the output is divided."""
        return self.layout.segments

    @property
    def execution(self) -> Execution:
        """How the work is carried out."""
        return self.layout.execution

    @property
    def shots_at_once(self) -> int:
        """How many neighbouring segments that are whole shots several devices work on together."""
        return self.layout.shots_at_once

    @property
    def footprint(self) -> Footprint:
        """The most memory it takes."""
        return self.layout.footprint

    @property
    def estimate(self) -> Estimate:
        """What it costs."""
        return self.layout.estimate

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

    @property
    def program(self) -> Program | None:
        """The published program that is followed, if it was requested."""
        return program_of(self.settings, self.traits)

    def is_own(self, index: int) -> bool:
        """Tell whether an output frame is, or starts from, a key frame of the user's own."""
        return any(one.number == self.source[index] for one in self.key_pictures)

    def frame_time(self, index: int) -> Fraction:
        """Return when an output frame is shown, in seconds from the first."""
        return self.timeline.frame_time(index)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values: fractions as "24000/1001", ranges as [start, stop].

        Tables of one entry a frame are left out; they follow from the clip's times and the settings.
        """
        names = {field.name for part in (self, self.layout) for field in fields(part)}
        names -= {"settings", "layout", "task", "window_frames", "window_overlap"}  # windows stand in `sampling`
        return {name: _jsonable(getattr(self, name)) for name in sorted(names)} | {
            "settings": self.settings.model_dump(mode="json"),
            "rate": _jsonable(self.rate),
            "frames": self.frames,
            "duration": _jsonable(self.duration),
        }


def make_plan(
    clip: ClipInfo,
    settings: EnhanceSettings,
    traits: ModelTraits,
    *,
    cuts: Sequence[int] = (),
    cadence: Cadence = NO_CADENCE,
    fields: Fields = NO_FIELDS,
    machine: Machine = UNKNOWN_MACHINE,
    key_pictures: Sequence[KeyPicture] = (),
) -> EnhancePlan:
    """Return the plan that enhances `clip` exactly as the settings ask, or refuse.

    Args:
        clip: the input.
        settings: the request.
        traits: of the model.
        cuts: input frames that begin a shot, without the first; nothing is blended or made across them.
        cadence: what of the input repeats; left out where `settings.drop_duplicates` says so.
        fields: what its lines show.
        machine: what it is planned for; `settings.memory` replaces its memory.
        key_pictures: the user's own key frames.

    Raises:
        InputError: the clip is too small, or transparent with nothing behind it.
        SettingsError: the settings cannot be met for this clip and model.
    """
    clip = _made_whole(_made_opaque(_at_rate(clip, settings), settings), settings)
    program = program_of(settings, traits)
    width, height = output_size(clip, settings, program)
    padding = pad_to_grid(width, height, traits, program)
    timeline = make_timeline(clip, settings, program, cadence if settings.drop_duplicates else NO_CADENCE)
    if program is not None and key_pictures:
        raise SettingsError("the published program does not take your own key frames; omit --key-frame or --published")
    if program is not None and traits.decoder is not None:
        raise SettingsError("the published program decodes with its own autoencoder; omit --decoder or --published")
    check_key_pictures(key_pictures, clip, timeline, width, height)
    key_frames = [index for index, is_key in enumerate(timeline.is_key) if is_key]
    if settings.memory is not None:
        machine = replace(machine, memory=settings.memory)
    true_factor = math.sqrt(width * height / (clip.width * clip.height))
    if program is not None:
        true_factor = program.told_factor(clip.height, clip.width, settings.scale)
    sampling = resolve_sampling(settings, traits, true_factor)
    cuts = () if program else tuple(cuts)
    task = Task(
        settings=settings,
        traits=traits,
        sampling=sampling,
        shots=cut_at(cuts, [timeline.source[key] for key in key_frames], key_frames, len(timeline.source)),
        key_frames=tuple(key_frames),
        latent_height=(height + padding.top + padding.bottom) // traits.pixels_per_latent,
        latent_width=(width + padding.left + padding.right) // traits.pixels_per_latent,
        input_pixels=clip.width * clip.height,
    )
    layout = choose_layout(task, machine)
    sampling = replace(sampling, window_frames=layout.window_frames, window_overlap=layout.window_overlap)
    return EnhancePlan(
        clip=clip,
        settings=settings,
        traits=traits,
        width=width,
        height=height,
        padding=padding,
        cuts=cuts,
        cadence=cadence,
        fields=fields,
        timeline=timeline,
        sampling=sampling,
        layout=layout,
        machine=machine,
        key_pictures=tuple(key_pictures),
    )


def next_smaller(plan: EnhancePlan) -> EnhancePlan | None:
    """Return the plan to continue with after memory ran out, from any of its segments on; None if there is none.

    Its segments and windows are the same, so that what one of them hands on stays of use; its tiles are smaller, or
    attention is sliced, or prompts go through one after the other.
    """
    layout = smaller_layout(plan.machine, plan.layout)
    return None if layout is None else replace(plan, layout=layout)


def _made_whole(clip: ClipInfo, settings: EnhanceSettings) -> ClipInfo:
    """Return the clip as it is read: with its interlaced frames made whole as the settings ask."""
    how = settings.deinterlace
    if how in ("all", "film") and (clip.kind != "video" or clip.identity is None):
        raise SettingsError(f"deinterlace {how} needs a video file, which {clip.path} is not; omit --deinterlace")
    if how == "film" and clip.pixel_format not in GATHERED_FROM:
        formats = f"{', '.join(GATHERED_FROM)}, and {clip.path} is {clip.pixel_format}"
        raise SettingsError(f"deinterlace film takes {formats}; convert it, or pass --deinterlace all")
    return replace(clip, deinterlace=how)


def _made_opaque(clip: ClipInfo, settings: EnhanceSettings) -> ClipInfo:
    """Return the clip as it is read: over the requested background, or refusing transparency."""
    clip = replace(clip, keep_damaged=settings.keep_damaged)
    if clip.opacity_is_unused:
        return clip
    if settings.background is None:
        if clip.has_alpha:
            opaque = "pass --background black or another colour"
            raise InputError(f"{clip.path} is transparent; transparency cannot be kept: {opaque}")
        return replace(clip, must_be_opaque=True)
    red, green, blue = bytes.fromhex(settings.background.removeprefix("#"))
    return replace(clip, background=(red, green, blue))


def _at_rate(clip: ClipInfo, settings: EnhanceSettings) -> ClipInfo:
    """Return the clip at the requested rate, if it is of pictures without one: numbered ones, or one alone."""
    if settings.input_fps is not None and clip.kind != "numbered":
        request = f"input_fps {format_number(settings.input_fps)} is for numbered pictures"
        raise SettingsError(f"{request}, which {clip.path} is not; omit --input-fps, or pass --fps for the output")
    rate = clip.rate
    if clip.kind == "numbered":
        rate = settings.input_fps or clip.rate
    elif clip.kind == "still":
        if settings.slow != 1:
            request = f"slow {format_number(settings.slow)} needs a video"
            raise SettingsError(f"{request}: {clip.path} is one picture; omit --slow")
        rate = settings.fps or clip.rate
    return replace(clip, rate=rate, duration=clip.frames / rate) if rate != clip.rate else clip


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
