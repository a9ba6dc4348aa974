"""The studies, in the order of reports. A new one is an entry here; everything else follows from it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from venhancer.errors import SettingsError
from venhancer.evaluation.studies.study import Ask, Study, Value

GOOD = "sharp, highly detailed, best quality"
BAD = "blurry, low quality, jpeg artifacts"
"""Words for good and for bad pictures; `nano` saw the bad ones as captions of bad targets."""

_WORDS: Mapping[str, tuple[str, str, float]] = {  # words after the prompt, negative prompt, guidance scale
    "none": ("", "", 1),
    "good": (GOOD, "", 1),
    "bad": (BAD, "", 1),
    "good-not-bad": (GOOD, BAD, 3),
    "bad-not-good": (BAD, GOOD, 3),
}


def _words(ask: Ask, value: Value) -> Ask:
    words, negative, guidance = _WORDS[str(value)]
    prompt = ", ".join(filter(None, (ask.prompt, words)))
    return ask.setting(prompt=prompt, prompt_suffix="", negative_prompt=negative, guidance_scale=guidance)


def _told(ask: Ask, value: Value) -> Ask:
    return ask.setting(downscale_factor=min(max(float(value) * ask.scale, 1), 8))


STUDIES = (
    Study(
        name="guidance",
        what=f'Guidance scale, away from the negative prompt "{BAD}".',
        expected="More guidance gives sharper and more contrasted pictures; too much over-sharpens. 1 is no guidance.",
        values=(1, 2, 3, 5),
        ask=lambda ask, value: ask.setting(guidance_scale=value, negative_prompt=BAD),
        label="guidance {}",
    ),
    Study(
        name="words",
        what=f'Words of quality after the prompt: "{GOOD}", or "{BAD}"; the last two also keep away from the others, '
        "at guidance 3.",
        expected="Good words give sharper pictures than bad ones, and the more so with guidance.",
        values=tuple(_WORDS),
        ask=_words,
        choices=tuple(_WORDS),
    ),
    Study(
        name="noise",
        what="Noise augmentation: noise put on the input frames before the model sees them.",
        expected="More noise frees the model from the input: less faithful, more detail made up, artefacts gone.",
        values=(0, 100, 200, 300),
        ask=lambda ask, value: ask.setting(noise_augmentation=_whole(value)),
        label="noise {}",
    ),
    Study(
        name="told-scale",
        what="Downscale factor the model is told, as a multiple of the true one (kept within 1 to 8).",
        expected="Told the truth it is most faithful; told less it sharpens less, told more it sharpens too much.",
        values=(1, 0.25, 0.5, 2),
        ask=_told,
        label="told {} x the true one",
    ),
    Study(
        name="scales",
        what="How many times smaller the input is, and the output larger again.",
        expected="Quality falls evenly with the scale, fractions included: no scale is worse than the next larger one.",
        values=(2.5, 3, 3.5, 4, 4.5),
        ask=lambda ask, value: replace(ask, scale=float(value)),
        label="{} x larger",
    ),
    Study(
        name="times",
        what="How many times the rate: of how many frames one is the input's.",
        expected="Quality falls evenly with the factor; strips stay smooth.",
        values=(3, 4, 5),
        ask=lambda ask, value: replace(ask, factor=_whole(value)),
        label="{} x the rate",
        shows_motion=True,
    ),
    Study(
        name="refine",
        what="The clips themselves, refined at their own size and rate with more or less noise augmentation.",
        expected="Flicker and artefacts fall while the clip stays recognisable (input_ssim); more noise changes more.",
        values=(0, 100, 200),
        ask=lambda ask, value: replace(ask, scale=1, factor=1).setting(noise_augmentation=_whole(value)),
        label="noise {}",
        shows_motion=True,
        is_refining=True,
    ),
    Study(
        name="seeds",
        what="The seed of all noise: how much is chance, a measure for the other studies' differences.",
        expected="Pictures differ in details only; the figures agree.",
        values=(0, 1),
        ask=lambda ask, value: ask.setting(seed=_whole(value)),
        label="seed {}",
    ),
    Study(
        name="steps",
        what="Solver steps.",
        expected="More steps give finer pictures, up to some number.",
        values=(1, 2, 4, 8),
        ask=lambda ask, value: ask.setting(steps=_whole(value)),
        label="{} steps",
        is_extra=True,
    ),
    Study(
        name="start",
        what="Start timestep: how much noise the enlarged input gets before it is denoised.",
        expected="A late start (small numbers) stays with the enlarged input, an early one makes up more.",
        values=(899, 999, 700, 500, 300, 100),
        ask=lambda ask, value: ask.setting(start_timestep=_whole(value), timetable="trailing"),
        label="start {}",
        is_extra=True,
    ),
    Study(
        name="start-noise",
        what="Share of the start timestep's noise put on the enlarged input.",
        expected="A model finished for few steps needs none; one trained on v alone needs all of it.",
        values=(0, 0.5, 1),
        ask=lambda ask, value: ask.setting(start_noise=value),
        label="start noise {}",
        is_extra=True,
    ),
)


def choose_studies(names: Iterable[str] = (), values: Iterable[str] = ()) -> list[Study]:
    """Return studies in the order of reports.

    Args:
        names: those wanted; "all" for the extra ones too; all but the extra ones if empty.
        values: other values than usual, as in "guidance=1,3".

    Raises:
        SettingsError: a study is unknown, or its values cannot be.
    """
    known = {study.name: study for study in STUDIES}
    chosen = set(names) or {study.name for study in STUDIES if not study.is_extra}
    chosen = set(known) if "all" in chosen else chosen
    pairs = [pair.partition("=") for pair in values]
    others = {name: text for name, _, text in pairs}
    unknown = sorted((chosen | others.keys()) - known.keys())
    if unknown:
        raise SettingsError(f"unknown study {unknown[0]!r}; there are {', '.join(known)}, and all")
    if unused := sorted(others.keys() - chosen):
        raise SettingsError(f"--values {unused[0]}=... is of a study that is not done; add it to --studies")
    return [
        study.with_values(others[study.name]) if study.name in others else study
        for study in STUDIES
        if study.name in chosen
    ]


def _whole(value: Value) -> int:
    """Return a value that must be whole.

    Raises:
        SettingsError: it is not.
    """
    if float(value) != int(float(value)):
        raise SettingsError(f"{value} must be a whole number")
    return int(float(value))
