"""Frames in memory to enhanced frames in memory: where the networks meet the diffusion process.

`VEnhancerPipeline.enhance` is the whole path; the methods below it are its four steps, in order.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cached_property, partial

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from venhancer.conditioning import (
    Between,
    Conditions,
    LatentSpace,
    encode_clip,
    make_conditions,
    resize_frame,
    steadiness_of,
)
from venhancer.diffusion.denoiser import Continued, Denoiser, Guided, Tiled, Windowed
from venhancer.diffusion.samplers import SOLVERS
from venhancer.diffusion.schedule import Schedule, solver_from_noisy
from venhancer.frames.colour_fix import Colours, coarse_size
from venhancer.frames.levels import Frame, to_levels, to_pixels
from venhancer.media.clip import describe_frames
from venhancer.media.reading.shot_search import find_shots_in
from venhancer.model_files.traits import ModelTraits, load_traits
from venhancer.models import ImageAutoencoder, LinearAutoencoder, VideoAutoencoder, VideoControlNet, VideoUNet
from venhancer.models.offload import arrange, bring
from venhancer.models.prompts import ProjectedText, join_prompts, project_text
from venhancer.models.text import encode_prompts
from venhancer.plan import EnhancePlan, make_plan
from venhancer.planning.execution import Execution
from venhancer.planning.layout import Segment
from venhancer.planning.machine import machine_of
from venhancer.planning.memory import Machine
from venhancer.progress import SILENT, Progress
from venhancer.runtime import frame_noise, release_memory
from venhancer.segments import Carry, EnhancedSegment, ReadFrames
from venhancer.settings import Offload, parse_ratio, parse_settings
from venhancer.windows import Tile, blend_weights, tile_weights

# Noises of one output frame, told apart by their number; solver steps follow.
START_NOISE, KEY_FRAME_NOISE, STEP_NOISE = 0, 1, 2


class VEnhancerPipeline(DiffusionPipeline):
    """A model ready to enhance clips.

    Args:
        vae: frames to latents and back.
        unet: the base network.
        controlnet: the video ControlNet.
        text_encoder: prompts to embeddings.
        tokenizer: of the text encoder.
        residual_scale: see `LatentSpace`; None diffuses the latents themselves, as the published models do.
        between: how frames between key frames start.
        steadying: how strongly the most noise augmentation steadies key frames, see `encode_clip`; 0 not at all, as in
            the published models.
        defaults: sampling settings that suit this model.

    Attributes:
        runs_on: the device that weights are moved to when they are needed; None where they stay where they are.
    """

    def __init__(
        self,
        vae: LinearAutoencoder | ImageAutoencoder | VideoAutoencoder,
        unet: VideoUNet,
        controlnet: VideoControlNet,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        residual_scale: Sequence[float] | None = None,
        between: Between = "repeat",
        steadying: float = 0.0,
        defaults: dict[str, float | int | str] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(vae=vae, unet=unet, controlnet=controlnet, text_encoder=text_encoder, tokenizer=tokenizer)
        self.register_to_config(
            residual_scale=residual_scale, between=between, steadying=steadying, defaults=defaults or {}
        )
        self.schedule = Schedule()
        self.runs_on: torch.device | None = None

    @property
    def device(self) -> torch.device:
        """Where the work is done: `runs_on`, where weights go when they are needed, or where they all are."""
        return self.runs_on or super().device

    @property
    def space(self) -> LatentSpace:
        """Where this model diffuses."""
        scale = self.config["residual_scale"]
        return LatentSpace(None if scale is None else tuple(scale))

    @cached_property
    def traits(self) -> ModelTraits:
        """What plans must know of this model: its files' sizes, and its own config.

        Raises:
            ValueError: the pipeline was put together by hand; save it and load the folder.
            WeightsError: the config has defaults that no model can have.
        """
        loaded_from = self.config.get("_name_or_path")
        if loaded_from is None:
            raise ValueError("this pipeline was not loaded: save it with save_pretrained and load the folder")
        return load_traits(str(loaded_from)).configured(self.config)

    def fingerprint(self) -> str:
        """Return what tells the weights, as they are now, from any others: their names and a few values of each."""
        digest = hashlib.blake2b(digest_size=16)
        for component, module in self._weighty.items():
            for name, values in module.state_dict().items():
                few = values.flatten()[:: max(1, values.numel() // 64)].double().cpu().numpy()
                digest.update(f"{component}.{name} {values.dtype} {tuple(values.shape)}".encode() + few.tobytes())
        return digest.hexdigest()

    @property
    def _weighty(self) -> dict[str, torch.nn.Module]:
        return {name: getattr(self, name) for name in ("vae", "unet", "controlnet", "text_encoder")}

    def _bring(self, component: torch.nn.Module, offload: Offload) -> None:
        bring(component, self._weighty.values(), self.device, offload)

    def release_memory(self) -> None:
        """Give back what torch keeps of a GPU's memory for reuse."""
        release_memory(self.device)

    @property
    def machine(self) -> Machine:
        """What this pipeline runs on, with the memory that is free for it now."""
        return machine_of(self.device, self.unet.dtype)

    def __call__(
        self,
        frames: UInt8[np.ndarray, "f h w 3"],
        *,
        source_fps: Fraction | float | str,
        progress: Progress = SILENT,
        **settings: object,
    ) -> UInt8[np.ndarray, "f2 h2 w2 3"]:
        """Return enhanced frames, all in memory.

        Args:
            frames: RGB.
            source_fps: their rate, in frames a second.
            progress: told of every evaluation of a window's tile.
            settings: fields of `EnhanceSettings`, such as scale=4, fps=24, prompt="...".

        Raises:
            SettingsError: the settings cannot be met for these frames and this model.
        """
        count, height, width, _ = frames.shape
        clip = describe_frames(count, height, width, parse_ratio(source_fps))
        asked = parse_settings(**settings)
        cuts = find_shots_in(frames) if asked.shots else ()
        plan = make_plan(clip, asked, self.traits, cuts=cuts, machine=self.machine)
        return np.stack(list(self.enhance(plan, lambda inputs: (frames[index] for index in inputs), progress=progress)))

    def enhance(self, plan: EnhancePlan, read: ReadFrames, *, progress: Progress = SILENT) -> Iterator[Frame]:
        """Yield the output frames of a plan, in order, in memory that does not grow with the clip.

        Args:
            plan: what to do.
            read: gives the input frames.
            progress: told of every evaluation of a window's tile.
        """
        for enhanced in self.enhance_segments(plan, read, progress=progress):
            yield from enhanced.frames

    def enhance_segments(
        self,
        plan: EnhancePlan,
        read: ReadFrames,
        *,
        first: int = 0,
        carry: Carry | None = None,
        progress: Progress = SILENT,
    ) -> Iterator[EnhancedSegment]:
        """Yield the segments of a plan, each to be drawn to its end before the next.

        Args:
            plan: what to do.
            read: gives the input frames.
            first: number of the segment to begin with.
            carry: of the segment before it.
            progress: told of every evaluation of a window's tile.
        """
        segments = plan.segments[first:]
        windows = sum(len(segment.windows) for segment in segments)
        progress.start(plan.sampling.evaluations * windows * len(plan.tiles), "denoise")
        arrange(self._weighty.values(), self.device, plan.execution.offload)
        prompts = self.project_prompts(
            [plan.sampling.prompt, plan.sampling.negative_prompt], offload=plan.execution.offload
        )
        carried = {name: tensor.to(self.device) for name, tensor in (carry or {}).items()}
        for segment in segments:
            enhanced = self._enhance_segment(plan, segment, read, prompts, carried=carried, progress=progress)
            yield enhanced
            carried = enhanced.carry

    def _enhance_segment(
        self,
        plan: EnhancePlan,
        segment: Segment,
        read: ReadFrames,
        prompts: Sequence[ProjectedText],
        *,
        carried: Carry,
        progress: Progress,
    ) -> EnhancedSegment:
        encoded = self.encoded_frames(plan, segment)
        clip = plan.clip
        size = coarse_size(plan.height, plan.width, clip.height, clip.width)
        colours = Colours(plan.sampling.color_fix, size, carried)
        keys = [index for index in encoded if plan.is_key[index]]
        frames = colours.note(keys, read(plan.inputs_behind(encoded)), partial(to_pixels, device=self.device))
        conditions = self.encode(frames, plan, segment)
        latents, said = self.denoise(
            conditions, prompts, plan, segment, carried=carried.get("denoised"), progress=progress
        )
        settled = latents[:, :, : len(segment.settled)]
        if "latents" in carried:
            settled = torch.cat([carried["latents"][None], settled], dim=2)
        carry: Carry = {}
        decoded = self.decode(settled, plan, segment, colours, held=carried.get("held"), carry=carry)
        if not segment.ends_shot:
            carry |= colours.carry(segment.frames.stop)
            undecoded = segment.settled.stop - segment.frames.stop
            carry |= {"denoised": said, "latents": settled[0, :, settled.shape[2] - undecoded :]}
        return EnhancedSegment(segment, decoded, carry)

    @torch.inference_mode()
    def project_prompts(self, prompts: list[str], *, offload: Offload = "none") -> list[ProjectedText]:
        """Return each prompt's keys and values: once a clip."""
        self._bring(self.text_encoder, offload)
        embeds = encode_prompts(prompts, self.tokenizer, self.text_encoder).to(self.unet.dtype)
        return [
            ProjectedText(*(project_text(network, one, self.device) for network in (self.unet, self.controlnet)))
            for one in embeds.split(1)
        ]

    def encoded_frames(self, plan: EnhancePlan, segment: Segment) -> range:
        """Return a segment's frames, up to the next key frame if the last ones start between two."""
        stop = segment.context.stop
        if self.config["between"] == "repeat" or segment.ends_shot:
            return segment.context
        following = next((index for index in range(stop, segment.shot.stop) if plan.is_key[index]), stop - 1)
        return range(segment.context.start, following + 1)

    @torch.inference_mode()
    def encode(self, frames: Iterable[Frame], plan: EnhancePlan, segment: Segment) -> Conditions:
        """Return the conditions of a segment.

        Args:
            frames: the input frames behind the key frames among `encoded_frames`.
            plan: what to do.
            segment: which one.
        """
        encoded = self.encoded_frames(plan, segment)
        is_key = torch.tensor([plan.is_key[index] for index in encoded], device=self.device)
        self._bring(self.vae, plan.execution.offload)
        size, pad = (plan.height, plan.width), plan.padding
        sides = (pad.left, pad.right, pad.top, pad.bottom)
        resized = (resize_frame(to_pixels(frame, self.device), *size, sides) for frame in frames)
        encode = partial(self.vae.encode_frames, tiles=plan.coded_tiles)
        sampling = plan.sampling
        steadiness = steadiness_of(sampling.noise_augmentation, self.config["steadying"])
        latents, start_latents = encode_clip(resized, is_key, self.config["between"], encode, steadiness=steadiness)
        key_frames = [index for index in encoded if plan.is_key[index]]
        conditions = make_conditions(
            latents,
            is_key[None],
            start_latents,
            noise=self._noise(plan, key_frames, latents, KEY_FRAME_NOISE),
            noise_augmentation=torch.tensor([sampling.noise_augmentation], device=self.device),
            downscale_factor=torch.tensor([sampling.downscale_factor], device=self.device),
            schedule=self.schedule,
        )
        return conditions.frames(range(len(segment.context)))

    @torch.inference_mode()
    def denoise(
        self,
        conditions: Conditions,
        prompts: Sequence[ProjectedText],
        plan: EnhancePlan,
        segment: Segment,
        *,
        carried: Float[Tensor, "n c s h w"] | None = None,
        progress: Progress = SILENT,
    ) -> tuple[Float[Tensor, "1 c f h w"], Float[Tensor, "n c s2 h w"]]:
        """Return the enhanced latents of a segment's context, and what to hand on to the next segment.

        Args:
            conditions: of the segment.
            prompts: the prompt and the negative prompt.
            plan: what to do.
            segment: which one.
            carried: what the segment before handed on; None for the first one of a shot.
            progress: told of every evaluation of a window's tile.
        """
        sampling, schedule = plan.sampling, self.schedule
        prompt, negative_prompt = prompts

        def denoise_tile(window: range, x: Tensor, sigma: float, tile: Tile) -> Tensor:
            predict_v = Guided(
                partial(self._predict_v, conditions.frames(window).crop(tile), plan.execution),
                prompt,
                negative_prompt,
                guidance_scale=sampling.guidance_scale,
                guidance_rescale=sampling.guidance_rescale,
            )
            denoised = Denoiser(predict_v, schedule, dtype=self.unet.dtype)(x, sigma)
            progress.advance()
            return denoised

        def denoise_window(x: Tensor, sigma: float, window: range) -> Tensor:
            return Tiled(partial(denoise_tile, window), plan.tiles, tile_weights(plan.tiles))(x, sigma)

        windows = segment.local_windows
        carried_weights, *weights = blend_weights([range(segment.carried), *windows], sampling.window_fade)
        windowed = Windowed(denoise_window, windows, weights)
        denoise = Continued(windowed, carried, carried_weights, segment.handed_on)
        timesteps = schedule.timesteps(sampling.steps, sampling.start_timestep, timetable=sampling.timetable)
        sigmas = schedule.sigmas(timesteps)
        start = self.space.enter(conditions.start_latents, conditions)
        noise = partial(self._noise, plan, segment.context, start)
        noisy = schedule.add_noise(start, sampling.start_noise * noise(START_NOISE), sampling.start_timestep)
        denoised = SOLVERS[sampling.solver](
            denoise, solver_from_noisy(noisy, sigmas[0]), sigmas, noise=lambda step: noise(STEP_NOISE + step)
        )
        return self.space.leave(denoised, conditions), torch.stack(denoise.said)

    def decode(
        self,
        latents: Float[Tensor, "1 c f h w"],
        plan: EnhancePlan,
        segment: Segment,
        colours: Colours,
        *,
        held: Float[Tensor, "n 3 h2 w2"] | None,
        carry: Carry,
    ) -> Iterator[Frame]:
        """Yield the frames of a segment that are written, cropped to the output size.

        Args:
            latents: settled ones, from the segment's first written frame on.
            plan: what to do.
            segment: which one.
            colours: of the inputs behind its key frames and those around.
            held: the first frames as the segment before decoded them, if frames are decoded together.
            carry: where such frames are left for the next segment.
        """
        rows = slice(plan.padding.top, plan.padding.top + plan.height)
        columns = slice(plan.padding.left, plan.padding.left + plan.width)
        left = 0 if segment.ends_shot else plan.traits.decode_overlap
        self._bring(self.vae, plan.execution.offload)
        decoded = self.vae.decode_each(latents[:, :, : len(segment.frames) + left], held, tiles=plan.coded_tiles)
        for index in segment.frames:
            with torch.inference_mode():  # entered anew for each frame: the caller's code runs between two of them
                picture = colours.fix(index, next(decoded)[:, rows, columns])
            yield to_levels(picture, plan.depth)
        if left:
            with torch.inference_mode():
                carry["held"] = torch.stack(list(decoded))

    def _predict_v(
        self, conditions: Conditions, how: Execution, noisy: Tensor, timesteps: Tensor, prompts: Sequence[ProjectedText]
    ) -> Sequence[Tensor]:
        """Return one v a prompt: as a batch that shares what no prompt changes, or one after the other."""
        key_frames = conditions.key_frames
        key_frames = key_frames._replace(latents=key_frames.latents.to(noisy.dtype))

        def predict(text: ProjectedText) -> Tensor:
            self._bring(self.controlnet, how.offload)
            residuals = self.controlnet(noisy, timesteps, text.controlnet, key_frames, how.slice_tokens)
            self._bring(self.unet, how.offload)
            return self.unet(noisy, timesteps, text.unet, control_residuals=residuals, max_tokens=how.slice_tokens)

        if not how.batches_guidance:
            return [predict(one) for one in prompts]
        return predict(join_prompts(prompts)).chunk(len(prompts))

    def _noise(self, plan: EnhancePlan, frames: Iterable[int], like: Tensor, draw: int) -> Tensor:
        """Return unit noise for output frames, each a function of the seed, its number and the draw."""
        shape = (like.shape[1], *like.shape[3:])
        return torch.stack([frame_noise(plan.sampling.seed, index, shape, draw) for index in frames], dim=1)[None].to(
            like.device
        )
