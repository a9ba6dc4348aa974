"""A plan in words: the rows that are printed before the work begins."""

from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction

from venhancer.media.clip import ClipInfo
from venhancer.model_files.adapter import AdapterTraits
from venhancer.model_files.traits import ModelTraits
from venhancer.plan import EnhancePlan
from venhancer.planning.estimate import network_flops
from venhancer.planning.layout import SAME_SHAPE, format_number
from venhancer.planning.prediction import Prediction
from venhancer.planning.presets import MANY_STEPS, preset_values
from venhancer.planning.sampling import Sampling, resolve_sampling
from venhancer.planning.timeline import format_moment
from venhancer.published import MOST_TOKENS
from venhancer.settings import MOST_NOISE, EnhanceSettings, format_memory

WAY_TO_DROP = "pass --drop-duplicates to make their motion even"
MOMENTS = 5  # that one row names at most
DEINTERLACING: dict[str, str] = {
    "all": "every frame is rebuilt from its two fields and their neighbours",
    "film": "film frames are gathered from the fields they were spread over",
    "none": "frames stay as they are stored",
}
COLOR_FIXES = {
    "wavelet": "restores the input's low frequencies (wavelet)",
    "adain": "restores the input's mean and spread (adain)",
    "none": "as the model makes them",
}


def describe_plan(plan: EnhancePlan) -> Iterator[tuple[str, str]]:
    """Yield rows of a label and a value."""
    clip, settings, sampling = plan.clip, plan.settings, plan.sampling
    across, down = Fraction(plan.width, clip.width), Fraction(plan.height, clip.height)
    yield "input", f"{clip.path}: {_extent(clip)}, {clip.codec}"
    yield "output", f"{_extent(plan)}, {_compression(settings)}"
    if clip.background is not None:
        yield "background", "transparent pixels lie over #{:02x}{:02x}{:02x}".format(*clip.background)
    if clip.opacity_is_unused:
        yield "opacity", "0 in every pixel of every frame: treated as an unused byte, not as transparency"
    scale = f"{format_number(across)} across, {format_number(down)} down"
    yield "scale", f"{scale}; the network assumes {format_number(sampling.downscale_factor)}"
    pad = plan.padding
    sides = f"{pad.left} left, {pad.right} right, {pad.top} above, {pad.bottom} below"
    yield "padding", f"{sides}, to {plan.padded_width}x{plan.padded_height}; cropped off at the end"
    yield from _describe_time(plan)
    yield "model", f"{plan.traits.name}, {plan.traits.parameters / 1e6:,.1f} M parameters"
    yield from _own_weights(plan.traits)
    if plan.program is not None:
        yield (
            "published",
            f"as the {plan.program.release} program: its sizes, rates and windows, white padding, bare prompt of up to "
            f"{MOST_TOKENS} tokens, no search for cuts, levels truncated",
        )
    if settings.preset != "exact":
        yield "preset", _preset(plan)
    yield "prompt", sampling.prompt or "none"
    yield "negative prompt", sampling.negative_prompt or "none"
    steps = f"{sampling.steps} {sampling.timetable} steps of {sampling.solver}"
    steps += ", without the penultimate noise level," if sampling.penultimate == "drop" else ""
    noise = "" if sampling.start_noise == 1 else f" with {format_number(sampling.start_noise)} of its noise"
    yield "sampling", f"{steps} from timestep {sampling.start_timestep}{noise}, seed {sampling.seed}"
    yield "guidance", _guidance(sampling)
    if sampling.keeps_features:
        yield "features", _reuse(sampling)
    yield "colours", COLOR_FIXES[sampling.color_fix]
    steadied = sampling.noise_augmentation and plan.traits.steadying
    along = "; key frames are averaged along their motion" if steadied else ""
    yield "noise augmentation", f"{sampling.noise_augmentation} of {MOST_NOISE}{along}"
    if len(plan.shots) > 1:
        yield "shots", f"{len(plan.shots)}; nothing is generated or blended across a cut"
    windows = [window for segment in plan.segments for window in segment.windows]
    longest = max(len(window) for window in windows)
    shared = f", sharing about {sampling.window_overlap}" if len(windows) > 1 else ""
    yield "windows", f"{len(windows)} of up to {longest} frames{shared}; segments: {len(plan.segments)}"
    for label, tiles in (("tiles", plan.tiles), ("autoencoder tiles", plan.coded_tiles)):
        if len(tiles) > 1:
            unit = plan.traits.pixels_per_latent
            yield label, f"{len(tiles)} of {len(tiles[0].columns) * unit}x{len(tiles[0].rows) * unit} pixels"
    yield "work", f"{plan.estimate.network_flops / 1e12:,.1f} TFLOP in the networks"
    yield "execution", describe_execution(plan)
    yield "memory", _memory_row(plan)
    yield from _describe_shape(plan)
    if clip.not_kept:
        yield "not kept", ", ".join(clip.not_kept)


def describe_prediction(plan: EnhancePlan, prediction: Prediction) -> str:
    """Return in words how long the work takes on a device that was named."""
    parts = ", ".join(f"{name} {seconds:,.3g}" for name, seconds in asdict(prediction).items() if seconds)
    rate = f"{prediction.total / plan.frames:,.3g} a frame"
    return f"about {prediction.total:,.3g} s ({parts}; {rate}), without reading and writing; predicted, never measured"


def _own_weights(traits: ModelTraits) -> Iterator[tuple[str, str]]:
    """Yield the files that change a model."""
    if traits.adapter is not None:
        yield "adapter", _adapter(traits.adapter)
    if traits.decoder is not None:
        yield "decoder", f"{traits.decoder}, tiny: quick, and less exact than the autoencoder's"


def _adapter(adapter: AdapterTraits) -> str:
    """Return which file adapts the model, and the sampling defaults it brings."""
    brings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in adapter.defaults.items())
    how = "beside the weights" if adapter.is_apart else "merged"
    return f"{adapter.file}, {how}; its defaults: {brings or 'none'}"


def _preset(plan: EnhancePlan) -> str:
    """Return what the preset sets, and how much work that saves."""
    name, defaults = plan.settings.preset, plan.traits.defaults
    values = preset_values(plan.settings, defaults, takes_guidance=plan.traits.takes_guidance)
    if not values:
        reason = "you passed all that it sets" if defaults.steps >= MANY_STEPS else "it takes few steps anyway"
        return f"{name} changes nothing for {plan.traits.name}: {reason}"
    exact = resolve_sampling(plan.settings.model_copy(update={"preset": "exact"}), plan.traits, 1)
    flops = network_flops(plan.traits.network, 1, plan.latent_height, plan.latent_width, plan.traits.text_tokens)
    shares = plan.execution.batches_guidance
    saved, all_of_it = (
        sum(flops.of(evaluation, shares_prompts=shares) for evaluation in each.evaluations)
        for each in (plan.sampling, exact)
    )
    told = ", ".join(f"{label.replace('_', ' ')} {value}" for label, value in values.items())
    return f"{name}: {told}; {all_of_it / saved:.1f} times less work than exact, its loss not measured yet"


def _guidance(sampling: Sampling) -> str:
    """Return how strong guidance is, how it is computed, and when it acts, if not always."""
    scale = format_number(sampling.guidance_scale)
    if sampling.takes_guidance:
        return f"{scale}, in one forward"
    if not sampling.is_guided:
        return "none"
    count, total = sampling.guided_evaluations, len(sampling.evaluations)
    span = f", from timestep {sampling.guidance_from} to {sampling.guidance_until}: {count} of {total} evaluations"
    rescaled = f"{scale}, rescaled by {format_number(sampling.guidance_rescale)}"
    return rescaled + span if count < total else rescaled


def _reuse(sampling: Sampling) -> str:
    """Return how many evaluations reuse features."""
    count, total = sum(evaluation.reuses for evaluation in sampling.evaluations), len(sampling.evaluations)
    return f"{count} of {total} evaluations reuse those of encoder and ControlNet from before"


def _compression(settings: EnhanceSettings) -> str:
    """Return what is asked of the encoder; what is not asked follows from the target's name."""
    words = [settings.codec or "the target's usual codec"]
    words += [f"crf {settings.crf}"] if settings.crf is not None else []
    words += [settings.pix_fmt] if settings.pix_fmt else []
    return " ".join(words) + (f" by {settings.encoder}" if settings.encoder != "software" else "")


def _describe_shape(plan: EnhancePlan) -> Iterator[tuple[str, str]]:
    """Yield what becomes of pixels that are not square, and of a shape that changes."""
    clip, shape = plan.clip, plan.sample_aspect_ratio
    across, down = Fraction(plan.width, clip.width), Fraction(plan.height, clip.height)
    if clip.sample_aspect_ratio != 1:
        origin = (
            "as in the input" if shape == clip.sample_aspect_ratio else f"made square from {clip.sample_aspect_ratio}"
        )
        display = f"; shown as {round(plan.width * shape)}x{plan.height}" if shape != 1 else ""
        yield "pixel shape", f"{shape}, {origin}{display}"
    if abs(across * shape / (down * clip.sample_aspect_ratio) - 1) > SAME_SHAPE:
        times = f"{format_number(across)} times across, {format_number(down)} times down"
        yield "warning", f"the picture is stretched: {times}"


def _describe_time(plan: EnhancePlan) -> Iterator[tuple[str, str]]:
    """Yield what is done to frames and their times before any network sees them."""
    clip, timeline = plan.clip, plan.timeline
    if damage := clip.damage_in(timeline.inputs):
        more = f" and {len(damage) - MOMENTS} more" if len(damage) > MOMENTS else ""
        yield "damaged", f"{', '.join(damage[:MOMENTS])}{more}; kept as the decoder conceals it"
    if clip.jumps:
        sections = {jump.shift: jump.time for jump in reversed(clip.jumps)}  # of every shift, the first moment
        moments = sorted(max(Fraction(0), time - clip.start) for time in sections.values())
        more = f" and {len(moments) - MOMENTS} more" if len(moments) > MOMENTS else ""
        times = ", ".join(map(format_moment, moments[:MOMENTS]))
        yield "clock", f"restarts or jumps at {times} s{more}; pictures and sound continue there without a break"
    if clip.kind == "numbered":
        remedy = "" if plan.settings.input_fps else "; pass --input-fps for another rate"
        yield "numbered pictures", f"assumed to be {format_number(clip.rate)} a second{remedy}"
    if len(timeline.inputs) < clip.frames:
        first, stop = timeline.inputs.start, timeline.inputs.stop
        times = f"{format_moment(clip.frame_time(first))} s to {format_moment(clip.frame_time(stop))} s"
        yield "part", f"{times}: frames {first} to {stop - 1} of {clip.frames}"
    if timeline.timestamps is not None:
        yield "timing", "every frame keeps its own time; pass --fps for a constant rate"
    elif clip.timestamps is not None:
        yield "timing", f"made constant: {format_number(timeline.rate)} fps"
    elif clip.jitter:
        off = format_number(float(1000 * clip.jitter))
        yield "timing", f"made constant: frames are up to {off} ms off {format_number(clip.rate)} fps"
    if plan.cadence.repeats:
        fix = "left out, and frames between are made" if plan.settings.drop_duplicates else WAY_TO_DROP
        yield "repeats", f"{plan.cadence.describe(len(timeline.inputs))}: {fix}"
    if told := _interlacing(plan):
        yield "interlacing", told
    if any(clip.border):
        sides = ", ".join(f"{size} {side}" for side, size in zip(clip.border._fields, clip.border, strict=True) if size)
        yield "cropped", f"pixels that players hide are cut off: {sides}"
    if turned := clip.orientation.describe():
        yield "orientation", f"upright, as players show it: {turned}"
    repeats = f", repeated {timeline.repeats} times" if timeline.repeats else ""
    between = plan.frames - timeline.keys - timeline.repeats
    unused = f"; {timeline.unused_inputs} input frames dropped" if timeline.unused_inputs else ""
    if plan.key_pictures:
        own = ", ".join(f"{one.picture.path} for frame {one.number}" for one in plan.key_pictures)
        yield "own key frames", own
    yield "frames", f"{timeline.keys} key frames{repeats} and {between} generated between and after them{unused}"


def _interlacing(plan: EnhancePlan) -> str:
    """Return what is done about frames whose lines show two moments, and what could be; empty for nothing."""
    clip, seen = plan.clip, plan.fields
    if clip.deinterlace != "marked":
        return DEINTERLACING[clip.deinterlace]
    rebuilt = DEINTERLACING["all"]
    if seen.is_film:
        film = f"--deinterlace film --drop-duplicates --fps {clip.rate * 4 / 5}"
        return f"film frames are spread over fields (telecine): pass {film} to get the film back"
    if clip.is_interlaced and seen.are_whole:
        return f"{rebuilt}, though none shows two moments: pass --deinterlace none to keep them as they are"
    if clip.is_interlaced:
        return rebuilt
    share = f"{seen.combed} of {seen.moving} moving frames show two moments"
    return f"{share}, unmarked: pass --deinterlace all to rebuild them" if seen.are_interlaced else ""


def describe_execution(plan: EnhancePlan) -> str:
    """Return in words how the work is carried out."""
    execution = plan.execution
    slices = execution.slice_tokens
    parts = [f"attention in slices of {slices:,} tokens" if slices else "attention whole"]
    if plan.sampling.is_guided:
        parts.append("both prompts together" if execution.batches_guidance else "one prompt after the other")
    if execution.coded_frames > 1 and plan.traits.autoencoder_width:
        parts.append(f"{execution.coded_frames} frames through the autoencoder at once")
    if plan.settings.compile:
        parts.append("blocks compiled when first called")
    if execution.offload != "none":
        moved = f"{plan.estimate.moved_bytes / 1e9:,.0f} GB of transfers"
        parts.append(f"weights wait in main memory and load by {execution.offload}: {moved}")
    if plan.machine.devices > 1:
        parts.append(f"{plan.machine.devices} devices, {_shared_work(plan)}")
    return ", ".join(parts)


def _shared_work(plan: EnhancePlan) -> str:
    """Return in words what several devices do at once."""
    counts = {
        "shots": plan.shots_at_once,
        "windows": max(len(segment.windows) for segment in plan.segments),
        "tiles": len(plan.tiles),
        "prompts": 2 if plan.sampling.is_guided and not plan.execution.batches_guidance else 1,
    }
    at_once = [f"{count} {name}" for name, count in counts.items() if count > 1]
    shared = [f"up to {' times '.join(at_once)} at once"] if at_once else []
    if plan.traits.autoencoder_width:
        shared.append("frames encoded by all" if plan.traits.decoder else "frames encoded and decoded by all")
    return ", ".join(shared) or "nothing to share; one works"


def describe_change(plan: EnhancePlan) -> str:
    """Return in words what may have changed of a plan that `next_smaller` gave."""
    tiles = f"{len(plan.tiles)} tiles, " if len(plan.tiles) > 1 else ""
    return f"{tiles}{describe_execution(plan)}: about {plan.footprint.total / 1e9:,.1f} GB"


def _memory_row(plan: EnhancePlan) -> str:
    """Return the most memory the plan takes, of what there is, and what holds it."""
    held = asdict(plan.footprint).items()
    parts = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in held if size or name != "features")
    budget = "" if plan.machine.memory is None else f" of {format_memory(plan.machine.memory)}"
    budget += " requested" if plan.settings.memory else " free" if budget else ""
    number_format = plan.machine.number_format
    return f"about {plan.footprint.total / 1e9:,.1f} GB{budget}, in {number_format} (an estimate: {parts})"


def _extent(video: ClipInfo | EnhancePlan) -> str:
    times = video.timestamps if isinstance(video, ClipInfo) else video.timeline.timestamps
    if isinstance(video, ClipInfo) and video.kind == "still":
        return f"{video.width}x{video.height}, one picture"
    rate, seconds = format_number(video.rate), format_number(video.duration)
    average = "" if times is None else " on average"
    return f"{video.width}x{video.height}, {rate} fps{average}, {video.frames} frames, {seconds} s"
