"""How a plan samples: a model's defaults with the settings laid over them, or refused where they contradict."""

from dataclasses import dataclass, fields, replace
from functools import cached_property

from venhancer.diffusion.timetable import Evaluation, evaluations, step_times
from venhancer.errors import SettingsError
from venhancer.model_files.traits import ModelTraits, SamplingDefaults
from venhancer.planning.presets import preset_values
from venhancer.published import program_of
from venhancer.settings import EnhanceSettings

FAST_EARLIEST_START = 530  # the fast timetable strides down to t = 500 and needs room above


@dataclass(frozen=True, kw_only=True)
class Sampling(SamplingDefaults):
    """A model's sampling defaults with the settings laid over them.

    Args:
        prompt: the prompt with its suffix.
        seed: of all noise.
        downscale_factor: the downscaling that the network assumes.
        takes_guidance: whether the network takes the guidance scale as an input: one prompt is enough then.
    """

    prompt: str
    seed: int
    downscale_factor: float
    takes_guidance: bool = False

    @property
    def timesteps(self) -> tuple[float, ...]:
        """The times at which the solver's steps begin."""
        drop = self.penultimate == "drop"
        return step_times(self.steps, self.start_timestep, timetable=self.timetable, drop_penultimate=drop)

    @cached_property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every time that the solver asks for x0, in order."""
        one_prompt = self.guidance_scale == 1 or self.takes_guidance
        guided = range(0) if one_prompt else range(self.guidance_until, self.guidance_from + 1)
        return evaluations(self.timesteps, self.solver, guided=guided, feature_reuse=self.feature_reuse)

    @property
    def guided_evaluations(self) -> int:
        """How many evaluations take two prompts."""
        return sum(evaluation.is_guided for evaluation in self.evaluations)

    @property
    def keeps_features(self) -> bool:
        """Whether any evaluation reuses the features of another."""
        return any(evaluation.keeps for evaluation in self.evaluations)

    @property
    def is_guided(self) -> bool:
        """Whether any evaluation takes two prompts."""
        return self.guided_evaluations > 0


def resolve_sampling(settings: EnhanceSettings, traits: ModelTraits, true_factor: float) -> Sampling:
    """Return the model's sampling defaults with the settings laid over them."""
    names = [field.name for field in fields(SamplingDefaults)]
    settled = {name: value for name in names if (value := getattr(settings, name)) is not None}
    program = program_of(settings, traits)
    defaults = traits.defaults if program is None else program.sampled(traits.defaults)
    preset = preset_values(settings, defaults, takes_guidance=traits.takes_guidance)
    defaults = replace(defaults, **preset | settled)
    if defaults.posterior == "sample" and not traits.autoencoder_width:
        raise SettingsError(
            f"posterior sample: model {traits.name} has no distribution to sample; pass --posterior mode"
        )
    if defaults.solver != "dpmpp_2m_sde":
        if settings.penultimate == "drop":
            raise SettingsError(f"penultimate drop is for dpmpp_2m_sde, not {defaults.solver}; omit --penultimate")
        defaults = replace(defaults, penultimate="keep")
    if settings.window_overlap is None:
        defaults = replace(defaults, window_overlap=min(defaults.window_overlap, defaults.window_frames // 2))
    if defaults.window_overlap >= defaults.window_frames:
        raise SettingsError(
            f"window_overlap {defaults.window_overlap} is not below the {defaults.window_frames} frames of a window; "
            f"pass --window-overlap 0 to {defaults.window_frames - 1}"
        )
    if defaults.timetable == "fast" and defaults.start_timestep < FAST_EARLIEST_START:
        raise SettingsError(
            f"start_timestep {defaults.start_timestep} is too low for the fast timetable; pass --start-timestep "
            f"{FAST_EARLIEST_START} to 999, or --timetable trailing"
        )
    if defaults.guidance_until > defaults.guidance_from:
        raise SettingsError(
            f"guidance_until {defaults.guidance_until} is above guidance_from {defaults.guidance_from}, and timesteps "
            f"fall; pass --guidance-until 0 to {defaults.guidance_from}, or --guidance-scale 1 for no guidance"
        )
    if traits.takes_guidance and {settings.guidance_from, settings.guidance_until} != {None}:
        raise SettingsError(
            f"guidance_from and guidance_until save nothing with {traits.name}, which takes guidance in one forward; "
            f"omit --guidance-from and --guidance-until"
        )
    return Sampling(
        **{name: getattr(defaults, name) for name in names},
        prompt=(program.join_prompt if program else join_prompt)(settings.prompt, defaults.prompt_suffix),
        seed=settings.seed,
        downscale_factor=settings.downscale_factor or true_factor,
        takes_guidance=traits.takes_guidance,
    )


def join_prompt(prompt: str, suffix: str) -> str:
    """Return the prompt and its suffix as one sentence, so that their words never run together."""
    prompt = prompt.strip()
    if not prompt or not suffix:
        return prompt or suffix
    return f"{prompt} {suffix}" if prompt[-1] in ".,;:!?" else f"{prompt}, {suffix}"
