"""Between pictures and networks: input frames are enlarged and padded, latents decoded, cropped and finished."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from venhancer.conditioning import Conditions
from venhancer.frames.colour_fix import Colours
from venhancer.frames.enlarging import Enlarging, resize
from venhancer.frames.fidelity import consistency_of, faithful
from venhancer.frames.levels import Frame, to_levels, to_pixels
from venhancer.frames.motion import frames_between
from venhancer.frames.resizing import pad_with_edges, resize_frames
from venhancer.models.autoencoder import Autoencoder
from venhancer.models.motion import MotionByNetwork, MotionNetwork
from venhancer.models.tiny_decoder import TinyDecoder
from venhancer.plan import EnhancePlan
from venhancer.planning.layout import Segment

Carry: TypeAlias = dict[str, Tensor]
"""What a segment hands on: "denoised" (evaluations, c, shared frames, h, w), x0 of the frames it shares; "latents"
(c, n, h, w), settled but not decoded; "held" (n, 3, height, width), decoded but not yet cross-faded, or of a tiny
decoder the latents before (n, c, h, w)."""


class SegmentInput(NamedTuple):
    """What the networks get of one segment, and what its frames will be finished with.

    Args:
        segment: which one.
        conditions: for the networks.
        colours: of the inputs behind its key frames and those around.
        originals: the inputs behind its key frames, where these are finished one by one.
        carried: what the segment before handed on.
    """

    segment: Segment
    conditions: Conditions
    colours: Colours
    originals: Sequence[Frame]
    carried: Carry


@dataclass(frozen=True, slots=True)
class EnhancedSegment:
    """One segment's output: what is written of it, to be drawn to the end, and what the next segment needs.

    `carry` is complete once `frames` have been drawn, and empty if another shot follows.
    """

    segment: Segment
    frames: Iterator[Frame]
    carry: Carry


class Finish(NamedTuple):
    """How key frames are finished, and the frames between made from them.

    Args:
        inputs: behind the key frames.
        enlarging: how they were enlarged.
        consistency: of the model; 0 leaves key frames as they were decoded.
        motion: moves key frames to the times between; None for the optical flow.
    """

    inputs: Sequence[Frame]
    enlarging: Enlarging
    consistency: float
    motion: MotionNetwork | None


def enlarged(picture: Float[Tensor, "3 h w"], plan: EnhancePlan, enlarging: Enlarging) -> Float[Tensor, "3 h2 w2"]:
    """Return an input frame at the output's size, padded to the networks' grid."""
    clip, program, pad = plan.clip, plan.program, plan.padding
    factor = program and program.enlargement(clip.height, clip.width, plan.settings.scale)
    if enlarging == "bilinear":
        resized = resize_frames(picture[None, :, None], plan.height, plan.width, factor)[0, :, 0]
    else:
        resized = resize(picture[None], plan.height, plan.width, enlarging)[0]
    return (program.pad if program else pad_with_edges)(resized, pad.left, pad.right, pad.top, pad.bottom)


def noted(frames: Iterable[Frame], seen: list[Frame]) -> Iterator[Frame]:
    """Yield frames, and add each to those seen."""
    for frame in frames:
        seen.append(frame)
        yield frame


def decoded(
    vae: Autoencoder | TinyDecoder,
    latents: Float[Tensor, "1 c f h w"],
    plan: EnhancePlan,
    segment: Segment,
    colours: Colours,
    *,
    boundary: Float[Tensor, "n c2 h2 w2"] | None,
    carry: dict[str, Tensor],
) -> Iterator[Frame]:
    """Yield the frames of a segment that are written, cropped to the output size.

    Args:
        vae: what decodes.
        latents: settled ones, from the segment's first written frame on.
        plan: that the segment is of.
        segment: which one.
        colours: of the inputs behind its key frames and those around.
        boundary: the first frames as the segment before decoded them, if frames are decoded together; of a tiny
            decoder, the latents before.
        carry: where the next segment's are left.
    """
    overlap, program = 0 if segment.ends_shot else plan.traits.decode_overlap, plan.program
    latents = latents[:, :, : len(segment.frames) + overlap]
    seams: dict[str, Any] = program.decoding(*latents.shape[2:]) if program else {"tiles": plan.coded_tiles}
    pictures = vae.decode_each(latents, boundary, **seams)
    for index in segment.frames:
        with torch.inference_mode():  # entered for each frame: the caller's code runs in between
            picture = colours.fix(index, _cropped(next(pictures), plan))
        yield to_levels(picture, plan.depth, program.whole if program else torch.round)
    if overlap:
        with torch.inference_mode():
            carry["held"] = torch.stack(list(pictures))
    elif isinstance(vae, TinyDecoder) and not segment.ends_shot:
        carry["held"] = vae.lead(latents, boundary)


def finished(
    vae: Autoencoder,
    latents: Float[Tensor, "1 c k h2 w2"],
    plan: EnhancePlan,
    segment: Segment,
    colours: Colours,
    *,
    keys: Sequence[int],
    finish: Finish,
) -> Iterator[Frame]:
    """Yield the frames of a segment that are written: key frames decoded, those between made from them.

    Args:
        vae: the autoencoder.
        latents: of the key frames in the segment's context.
        plan: that the segment is of.
        segment: which one.
        colours: of the inputs behind its key frames.
        keys: numbers of these frames.
        finish: how, and of what.
    """

    def finish_key(number: int) -> Float[Tensor, "3 h w"]:
        (picture,) = vae.decode_each(latents[:, :, number : number + 1], None, tiles=plan.coded_tiles)
        picture = colours.fix(keys[number], _cropped(picture, plan))
        if not finish.consistency:
            return picture
        noise = 0 if plan.is_own(keys[number]) else plan.sampling.noise_augmentation
        consistency = consistency_of(noise, finish.consistency)
        source = to_pixels(finish.inputs[number], latents.device)
        return faithful(picture, source, finish.enlarging, consistency)

    move = None if finish.motion is None else MotionByNetwork(finish.motion)
    following: Tensor | None = None
    for number, key in enumerate(keys):
        if key >= segment.frames.stop:
            return
        with torch.inference_mode():
            picture = finish_key(number) if following is None else following
            following = finish_key(number + 1) if number + 1 < len(keys) else None
        yield to_levels(picture, plan.depth)
        stop = segment.shot.stop if following is None else keys[number + 1]
        times = [(index - key) / (stop - key) for index in range(key + 1, min(stop, segment.frames.stop))]
        between = iter(()) if following is None else frames_between(picture, following, times, move)
        for _ in times:
            with torch.inference_mode():
                frame = picture if following is None else next(between)
            yield to_levels(frame, plan.depth)


def _cropped(picture: Tensor, plan: EnhancePlan) -> Float[Tensor, "3 h w"]:
    """Return a picture without its padding."""
    top, left = plan.padding.top, plan.padding.left
    return picture[:, top : top + plan.height, left : left + plan.width]
