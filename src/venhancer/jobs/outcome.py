"""What becomes of a plan in a file: how it is compressed and written, and what of the source it cannot keep."""

import json
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

from venhancer.errors import SettingsError
from venhancer.jobs.work import describe_work
from venhancer.media.containers import CONTAINERS
from venhancer.media.tracks import TrackPlan, describe_losses, describe_track_plans, plan_tracks
from venhancer.media.writing.assemble import MADE_BY, MOVIES
from venhancer.media.writing.encoders import Encoding, choose_encoding, told_chroma_location
from venhancer.media.writing.pictures_out import FASTEST_GIF, is_one_picture
from venhancer.media.writing.writing import Span, Writing
from venhancer.plan import EnhancePlan

TELL_SHAPE = ("h264", "hevc")  # codecs whose own stream stores the shape of pixels


def encoding_of(plan: EnhancePlan, target: Path) -> Encoding:
    """Return how a plan's output is compressed into `target`.

    Raises:
        InputError: the target's name is of no known kind.
        SettingsError: the target, the codec and other settings do not go together, nothing here encodes it, or
            the target cannot show such brightness, so many frames a second or more than one at all.
    """
    settings, clip = plan.settings, plan.clip
    encoding = choose_encoding(
        target,
        depth=clip.depth,
        codec=settings.codec,
        crf=settings.crf,
        pixel_format=settings.pix_fmt,
        encoder=settings.encoder,
    )
    if encoding.codec in ("gif", "webp") and clip.transfer != "sdr":
        raise SettingsError(f"{target.suffix} cannot hold {clip.transfer.upper()}; use .mp4, .mov or .mkv")
    if encoding.codec == "gif" and plan.rate > FASTEST_GIF:
        raise SettingsError(f"a GIF shows at most {FASTEST_GIF} frames a second; pass a lower --fps, or use .webp")
    if is_one_picture(target) and plan.frames > 1:
        several = f"frames/%05d{target.suffix}"
        raise SettingsError(
            f"{target} is one picture, but the output has {plan.frames} frames; use a pattern such as {several}"
        )
    return encoding


def writing_of(plan: EnhancePlan, target: Path) -> Writing:
    """Return how a plan's output is written: its size and rate, the input's colours, and what made it.

    Raises:
        InputError: the target's name is of no known kind.
        SettingsError: see `encoding_of`.
    """
    clip, encoding = plan.clip, encoding_of(plan, target)
    timeline, settings = plan.timeline, plan.settings
    return Writing(
        width=plan.width,
        height=plan.height,
        rate=plan.rate,
        crf=encoding.crf,
        codec=encoding.codec,
        pixel_format=encoding.pixel_format,
        maker=encoding.maker,
        color_matrix=clip.color_matrix,
        full_range=clip.full_range and not clip.is_rgb and encoding.codec != "prores",  # which is limited by definition
        color_primaries=clip.color_primaries,
        color_transfer=clip.color_transfer,
        chroma_location=told_chroma_location(encoding, target.suffix.lower(), clip.chroma_location),
        sample_aspect_ratio=plan.sample_aspect_ratio,
        metadata={"comment": _made_by(plan)},
        timestamps=timeline.timestamps,
        time_base=timeline.time_base,
        span=Span(timeline.start, timeline.end, Fraction(settings.slow), is_cut=settings.start is not None),
    )


def _made_by(plan: EnhancePlan) -> str:
    """Return the program, its version, and all that another run needs to make the same, as JSON."""
    settings = plan.settings.model_dump(mode="json", exclude_defaults=True)
    chosen = {"model": plan.traits.name, "seed": plan.sampling.seed, "steps": plan.sampling.steps}
    return f"{MADE_BY}{version('venhancer')} {json.dumps(chosen | settings, ensure_ascii=False)}"


def losses(plan: EnhancePlan, target: Path) -> list[str]:
    """Return, in words, what of the source the output will not carry as it was."""
    lost, encoding = list(plan.clip.not_kept), encoding_of(plan, target)
    if encoding.depth < plan.clip.depth:
        lost.append(f"{plan.clip.depth}-bit depth ({encoding.codec} keeps {encoding.depth} bits here)")
    shape = plan.sample_aspect_ratio
    if shape != 1 and target.suffix.lower() not in MOVIES and encoding.codec not in TELL_SHAPE:
        lost.append(f"the shape of pixels ({shape.numerator}:{shape.denominator}), which {target.suffix} cannot store")
    return [*lost, *describe_losses(_tracks(plan, target.suffix))]


def track_rows(plan: EnhancePlan, target: Path | None = None) -> list[tuple[str, str]]:
    """Return, as rows of a plan, what becomes of all that the source holds beside its pictures.

    Args:
        plan: of the clip.
        target: None tells it for every container.
    """
    rows = []
    for suffix in CONTAINERS if target is None else (target.suffix,):
        if texts := describe_track_plans(_tracks(plan, suffix)):
            rows.append((f"tracks in {suffix}", "; ".join(texts)))
    return rows


def target_rows(plan: EnhancePlan, target: Path | None = None) -> list[tuple[str, str]]:
    """Return `track_rows`, and for a target also what it will not keep and what is finished of it.

    Raises:
        InputError: see `find_work`.
    """
    rows = track_rows(plan, target)
    if target is None:
        return rows
    lost = losses(plan, target)
    return [
        *rows,
        *([("not kept", ", ".join(lost))] if lost else []),
        ("unfinished work", describe_work(target) or "none"),
    ]


def _tracks(plan: EnhancePlan, suffix: str) -> tuple[TrackPlan, ...]:
    return plan_tracks(plan.clip.tracks, suffix, slow=plan.settings.slow)
