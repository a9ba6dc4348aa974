"""Frames in memory to enhanced frames in memory: where the networks meet the diffusion process.

`VEnhancerPipeline.enhance` is the whole path; the methods below it are its four steps, in order.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from typing import ClassVar

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from venhancer.conditioning import Between, Conditions, Reach, encode_clip, make_conditions, reach_of, steadiness_of
from venhancer.diffusion.denoiser import Continued, Denoise, Denoiser, Guided, OnStep, divided, in_turn, watched
from venhancer.diffusion.noise import KEY_FRAME_NOISE, POSTERIOR_NOISE, START_NOISE, STEP_NOISE, DrawNoise, frame_noise
from venhancer.diffusion.samplers import SOLVERS
from venhancer.diffusion.schedule import Schedule, solver_from_noisy
from venhancer.diffusion.timetable import Evaluation
from venhancer.frames.colour_fix import Colours, coarse_size
from venhancer.frames.enlarging import Enlarging
from venhancer.frames.levels import Frame, ReadFrames, to_pixels
from venhancer.model_files.traits import COMPANIONS, NETWORKS, ModelTraits, load_traits
from venhancer.models import LinearAutoencoder, MotionNetwork, VideoControlNet, VideoUNet
from venhancer.models.autoencoder import Autoencoder, mode_of, sample_of
from venhancer.models.compiling import compile_blocks
from venhancer.models.fingerprint import weights_fingerprint
from venhancer.models.offload import arrange, bring
from venhancer.models.prompts import Predict, ProjectedText, predict_velocities, project_prompts
from venhancer.models.sharing import Spread
from venhancer.models.text import encode_prompts
from venhancer.models.tiny_decoder import TinyDecoder
from venhancer.pictures import Carry, EnhancedSegment, Finish, SegmentInput, decoded, enlarged, finished, noted
from venhancer.plan import EnhancePlan
from venhancer.planning.execution import Execution
from venhancer.planning.layout import Segment, shots_together
from venhancer.planning.machine import machine_of
from venhancer.planning.memory import Machine
from venhancer.progress import SILENT, Progress
from venhancer.runtime.devices import release_memory
from venhancer.session.call import InCalls
from venhancer.session.session import InSessions
from venhancer.settings import Offload
from venhancer.windows import Tile, blend_weights, tile_weights


class VEnhancerPipeline(InCalls, InSessions, DiffusionPipeline):
    """A model ready to enhance clips.

    Args:
        vae: frames to latents and back.
        unet: the base network.
        controlnet: the video ControlNet.
        text_encoder: prompts to embeddings.
        tokenizer: of the text encoder.
        motion: moves finished key frames to the times between; without, the optical flow does.
        between: how frames between key frames start; "interpolate" makes them from the finished key frames, which
            alone go through the networks.
        steadying: how strongly the most noise augmentation steadies key frames, see `encode_clip`; 0 not at all, as in
            the published models.
        enlarging: how key frames are brought to the output's size.
        consistency: how closely a result made small again must be the input where that is clean, from 0 to 1, and
            whether grey stays grey; see `venhancer.frames.fidelity`. Only where frames between are interpolated.
        defaults: sampling settings that suit this model.

    Attributes:
        runs_on: the device that weights are moved to when they are needed; None where they stay where they are.
        workers: other devices that share the work, see `venhancer.workers`; None where there are none.
        decoder: decodes in place of the autoencoder; None where that does.
        draw_noise: unit noise by seed, output frame, shape and draw; replace it to repeat a run with recorded noise.
    """

    _optional_components: ClassVar = ["motion"]

    def __init__(
        self,
        vae: Autoencoder,
        unet: VideoUNet,
        controlnet: VideoControlNet,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        motion: MotionNetwork | None = None,
        between: Between = "repeat",
        steadying: float = 0.0,
        enlarging: Enlarging = "bilinear",
        consistency: float = 0.0,
        defaults: dict[str, float | int | str] | None = None,
    ) -> None:
        super().__init__()
        networks = {"vae": vae, "unet": unet, "controlnet": controlnet, "text_encoder": text_encoder, "motion": motion}
        self.register_modules(**networks, tokenizer=tokenizer)
        own = {"between": between, "steadying": steadying, "enlarging": enlarging, "consistency": consistency}
        self.register_to_config(**own, defaults=defaults or {})
        self.schedule = Schedule()
        self.runs_on: torch.device | None = None
        self.workers: Spread | None = None
        self.decoder: TinyDecoder | None = None
        self.draw_noise: DrawNoise = frame_noise

    @property
    def device(self) -> torch.device:
        """Where the work is done: `runs_on`, where weights go when they are needed, or where they all are."""
        return self.runs_on or super().device

    @cached_property
    def traits(self) -> ModelTraits:
        """What plans must know of this model: its files' sizes, and its own config.

        Raises:
            ValueError: the pipeline was put together by hand; save it and load the folder.
            WeightsError: the config has defaults that no model can have.
        """
        if (loaded_from := self.config.get("_name_or_path")) is None:
            raise ValueError("this pipeline was not loaded: save it with save_pretrained and load the folder")
        own = (self.config.get(name) for name in ("_adapter", "_decoder"))
        apart = self.config.get("_adapter_apart", False)
        return load_traits(str(loaded_from), *own, adapter_apart=apart).configured(self.config)

    def fingerprint(self) -> str:
        """Return what tells the weights, as they are now, from any others: their names and a few values of each."""
        return weights_fingerprint(self.networks)

    @property
    def networks(self) -> dict[str, torch.nn.Module]:
        """The components with weights, by name."""
        names = (*NETWORKS, *COMPANIONS, "decoder")
        return {name: component for name in names if (component := getattr(self, name)) is not None}

    def _bring(self, *components: torch.nn.Module, offload: Offload) -> None:
        bring(components, self.networks.values(), self.device, offload)

    def arrange(self, offload: Offload) -> None:
        """Put all weights where an enhancement begins with them."""
        arrange(self.networks.values(), self.device, offload)

    def predictor(self, execution: Execution) -> Predict:
        """Return what predicts v by this pipeline's own networks, carried out so; see `predict_velocities`."""
        return partial(
            predict_velocities,
            (self.unet, self.controlnet),
            max_tokens=execution.slice_tokens,
            together=execution.batches_guidance,
            bring=partial(self._bring, offload=execution.offload),
        )

    def release_memory(self) -> None:
        """Give back what torch keeps of a GPU's memory for reuse."""
        release_memory(self.device)

    @property
    def machine(self) -> Machine:
        """What this pipeline runs on, with the memory that is free for it now."""
        return machine_of(self.device, self.unet.dtype)

    def enhance(
        self, plan: EnhancePlan, read: ReadFrames, *, progress: Progress = SILENT, on_step: OnStep | None = None
    ) -> Iterator[Frame]:
        """Yield the output frames of a plan, in order, in memory that does not grow with the clip."""
        for enhanced in self.enhance_segments(plan, read, progress=progress, on_step=on_step):
            yield from enhanced.frames

    def enhance_segments(
        self,
        plan: EnhancePlan,
        read: ReadFrames,
        *,
        first: int = 0,
        carry: Carry | None = None,
        progress: Progress = SILENT,
        on_step: OnStep | None = None,
    ) -> Iterator[EnhancedSegment]:
        """Yield the segments of a plan from `first` on, each to be drawn to its end before the next.

        `carry` is that of the segment before; `progress` advances with every evaluation of a window's tile, and
        `on_step` is called with every evaluation of a segment.
        """
        segments = plan.segments[first:]
        parts = sum(len(segment.windows) for segment in segments) * len(plan.tiles)
        progress.start(len(plan.sampling.evaluations) * parts, "denoise")
        self.arrange(plan.execution.offload)
        self.vae.at_once, self.vae.workers = plan.execution.coded_frames, self.workers
        for network in (self.unet, self.controlnet):
            compile_blocks(network, compiled=plan.settings.compile)
        prompts = self.project_prompts(
            [plan.sampling.prompt, plan.sampling.negative_prompt],
            offload=plan.execution.offload,
            guidance=plan.sampling.guidance_scale,
            most_windows=1 if plan.program else None,
        )
        if self.workers:
            self.workers.begin(prompts, asdict(plan.execution))
        carried = {name: tensor.to(self.device) for name, tensor in (carry or {}).items()}
        denoise = partial(self._denoise, plan, prompts, progress=progress, on_step=on_step)
        for run in shots_together(segments, plan.shots_at_once if self.workers and on_step is None else 1):
            inputs = [self._take_in(plan, segment, read, carried=carried) for segment in run]
            denoised = list((self.workers.map if self.workers and len(run) > 1 else map)(denoise, inputs))
            for one, result in zip(inputs, denoised, strict=True):
                enhanced = self._finish(plan, one, *result)
                yield enhanced
                carried = enhanced.carry

    def _take_in(self, plan: EnhancePlan, segment: Segment, read: ReadFrames, *, carried: Carry) -> SegmentInput:
        clip, reach = plan.clip, self.reach(plan, segment)
        coarse = coarse_size(plan.height, plan.width, clip.height, clip.width)
        colours = Colours(plan.sampling.color_fix, coarse, carried)
        inputs = read([plan.source[number] for number in reach.key_frames])
        originals: list[Frame] = []
        inputs = noted(inputs, originals) if self.interpolates else inputs
        pictures = colours.note(reach.key_frames, (to_pixels(frame, self.device) for frame in inputs))
        conditions = self.encode(pictures, plan, reach)
        return SegmentInput(segment, conditions, colours, originals[reach.lead :], carried)

    def _denoise(
        self,
        plan: EnhancePlan,
        prompts: Sequence[ProjectedText],
        part: SegmentInput,
        *,
        progress: Progress,
        on_step: OnStep | None,
    ) -> tuple[Tensor, Tensor]:
        told = {"carried": part.carried.get("denoised"), "progress": progress, "on_step": on_step}
        return self.denoise(part.conditions, prompts, plan, part.segment, **told)

    def _finish(self, plan: EnhancePlan, part: SegmentInput, latents: Tensor, shared: Tensor) -> EnhancedSegment:
        segment, _, colours, originals, carried = part
        settled = latents[:, :, : len(self.sampled_frames(plan, segment.settled))]
        if "latents" in carried:
            settled = torch.cat([carried["latents"][None], settled], dim=2)
        carry: Carry = {}
        if self.interpolates:
            self._bring(*filter(None, (self.vae, self.motion)), offload=plan.execution.offload)
            keys = self.sampled_frames(plan, segment.context)
            finish = Finish(originals, self.config["enlarging"], self.config["consistency"], self.motion)
            frames = finished(self.vae, latents, plan, segment, colours, keys=keys, finish=finish)
        else:
            frames = self.decode(settled, plan, segment, colours, boundary=carried.get("held"), carry=carry)
        if not segment.ends_shot:
            carry |= colours.carry(segment.frames.stop)
            undecoded = segment.settled.stop - segment.frames.stop
            carry |= {"denoised": shared, "latents": settled[0, :, settled.shape[2] - undecoded :]}
        return EnhancedSegment(segment, frames, carry)

    @torch.inference_mode()
    def project_prompts(
        self, prompts: list[str], *, offload: Offload = "none", guidance: float = 1.0, most_windows: int | None = None
    ) -> list[ProjectedText]:
        """Return each prompt once a clip; see `project_prompts`, and `encode_prompts` for `most_windows`."""
        self._bring(self.text_encoder, offload=offload)
        embeds = encode_prompts(prompts, self.tokenizer, self.text_encoder, most_windows=most_windows)
        return project_prompts((self.unet, self.controlnet), embeds.to(self.unet.dtype), self.device, guidance)

    def reach(self, plan: EnhancePlan, segment: Segment) -> Reach:
        """Return the frames that a segment's conditions are made from."""
        steadiness = steadiness_of(plan.sampling.noise_augmentation, self.config["steadying"])
        return reach_of(segment, plan.is_key, self.config["between"], steadiness)

    @property
    def interpolates(self) -> bool:
        """Whether frames between are made from finished key frames."""
        return self.config["between"] == "interpolate"

    def sampled_frames(self, plan: EnhancePlan, frames: range) -> Sequence[int]:
        """Return which of some output frames go through the networks."""
        return [number for number in frames if plan.is_key[number]] if self.interpolates else frames

    @torch.inference_mode()
    def encode(self, pictures: Iterable[Float[Tensor, "3 h w"]], plan: EnhancePlan, reach: Reach) -> Conditions:
        """Return a segment's conditions; `pictures` are the input frames behind `reach.key_frames`, in [-1, 1]."""
        sampling, program = plan.sampling, plan.program
        sampled = self.sampled_frames(plan, reach.frames)
        is_key = torch.tensor([plan.is_key[number] for number in sampled])  # on the host, which counts them
        self._bring(self.vae, offload=plan.execution.offload)
        is_drawn = sampling.posterior == "sample" and not isinstance(self.vae, LinearAutoencoder)
        encode = self.vae.encode_posterior if is_drawn else self.vae.encode_frames
        latents, start_latents = encode_clip(
            (enlarged(picture, plan, self.config["enlarging"]) for picture in pictures),
            is_key,
            self.config["between"],
            partial(encode, tiles=() if program else plan.coded_tiles),
            steadiness=reach.steadiness,
            lead=reach.lead,
            fixed=[place for place, number in enumerate(reach.key_frames) if plan.is_own(number)],
            at_once=plan.execution.coded_frames * (plan.machine.devices if self.workers else 1),
        )
        if is_drawn:  # for every frame by itself, also for those that repeat a key frame
            noise = self._noise(plan, sampled, mode_of(start_latents), POSTERIOR_NOISE)
            start_latents = sample_of(start_latents, noise)
            latents = start_latents[:, :, is_key.nonzero().flatten().tolist()]
        keys = [number for number in reach.key_frames if number in reach.frames]
        is_own = torch.tensor([[plan.is_own(number) for number in keys]], device=self.device)
        conditions = make_conditions(
            latents,
            is_key[None],
            start_latents,
            noise=self._noise(plan, keys, latents, KEY_FRAME_NOISE),
            noise_augmentation=torch.tensor([sampling.noise_augmentation], device=self.device),
            downscale_factor=torch.tensor([sampling.downscale_factor], device=self.device),
            schedule=self.schedule,
            is_own=is_own if plan.key_pictures else None,
        )
        return conditions.frames(range(len(self.sampled_frames(plan, reach.context))))

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
        on_step: OnStep | None = None,
    ) -> tuple[Float[Tensor, "1 c f h w"], Float[Tensor, "n c s2 h w"]]:
        """Return the enhanced latents of a segment's context, and what to hand on to the next segment.

        Args:
            conditions: of the segment.
            prompts: the prompt and the negative prompt.
            plan: that the segment is of.
            segment: which one.
            carried: x0 of the shared frames by the segment before, an entry an evaluation; None for a shot's first.
            progress: advanced by every evaluation of a window's tile.
            on_step: called with every evaluation of the segment; may change its result.
        """
        sampling, schedule, program = plan.sampling, self.schedule, plan.program
        own = self.predictor(plan.execution)
        predict_v = own if self.workers is None else partial(self.workers.predict, own)

        def denoiser(window: range, tile: Tile) -> Denoise:
            key_frames = conditions.frames(window).crop(tile).key_frames
            key_frames = key_frames._replace(
                latents=key_frames.latents.to(self.unet.dtype), mask=key_frames.mask.to(self.device)
            )
            features: list[list[Tensor]] = []  # of this part of the clip, from one evaluation to the next

            def denoise_at(evaluation: Evaluation) -> Denoise:
                def predict(x_t: Tensor, timesteps: Tensor, texts: Sequence[ProjectedText]) -> Sequence[Tensor]:
                    if not evaluation.reuses:
                        features[:] = [[] for _ in texts] if evaluation.keeps else []
                    return predict_v(key_frames, x_t, timesteps, texts, **({"features": features} if features else {}))

                scale = sampling.guidance_scale if evaluation.is_guided else 1
                guided = Guided(predict, *prompts, guidance_scale=scale, guidance_rescale=sampling.guidance_rescale)
                return Denoiser(guided, schedule, dtype=self.unet.dtype)

            return in_turn(denoise_at(evaluation) for evaluation in sampling.evaluations)

        context = self.sampled_frames(plan, segment.context)
        spans = (range(segment.context.start, segment.context.start + segment.carried), *segment.windows)
        parts = [range(bisect_left(context, span.start), bisect_left(context, span.stop)) for span in spans]
        handed_on = len(context) - bisect_left(context, segment.settled.stop)
        carried_fade, *fades = program.fades(parts) if program else blend_weights(parts, sampling.window_fade)
        feathers = tile_weights(plan.tiles)
        places = {"device": self.device, "each": map if self.workers is None else self.workers.map}
        denoise = divided(denoiser, parts[1:], fades, plan.tiles, feathers, **places, progress=progress)
        denoise = Continued(denoise, carried, torch.as_tensor(carried_fade, device=self.device), handed_on)
        sigmas = schedule.sigmas(sampling.timesteps)
        start = conditions.start_latents
        noise = partial(self._noise, plan, context, start)
        noisy = schedule.add_noise(start, sampling.start_noise * noise(START_NOISE), sampling.start_timestep)
        x = (program.start if program else solver_from_noisy)(noisy, sigmas[0])
        evaluate = denoise if on_step is None else watched(denoise, sampling.timesteps, on_step)
        denoised = SOLVERS[sampling.solver](evaluate, x, sigmas, noise=lambda step: noise(STEP_NOISE + step))
        return denoised, torch.stack(denoise.shared)

    def decode(
        self,
        latents: Float[Tensor, "1 c f h w"],
        plan: EnhancePlan,
        segment: Segment,
        colours: Colours,
        *,
        boundary: Float[Tensor, "n c2 h2 w2"] | None,
        carry: Carry,
    ) -> Iterator[Frame]:
        """Yield the frames of a segment that are written; see `venhancer.pictures.decoded`."""
        decoder = self.decoder or self.vae
        self._bring(decoder, offload=plan.execution.offload)
        return decoded(decoder, latents, plan, segment, colours, boundary=boundary, carry=carry)

    def _noise(self, plan: EnhancePlan, frames: Iterable[int], like: Tensor, draw: int) -> Tensor:
        """Return unit noise for output frames, each a function of the seed, its number and the draw."""
        seed, shape = plan.sampling.seed, (like.shape[1], *like.shape[3:])
        noises = [self.draw_noise(seed, index, shape, draw) for index in frames]
        return torch.stack(noises, dim=1)[None].to(like.device)
