"""The studies, in the order of reports: one setting each, the values it takes, and what should come of them.

A new one is an entry here; everything else follows from it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from venhancer.errors import SettingsError

Value = float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The task of a model on one clip.

    Args:
        scale: how many times smaller the input is made, and the output larger again.
        factor: every so many-th frame is the input's; the others are made.
        settings: further fields of `EnhanceSettings`.
    """

    scale: float
    factor: int
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """What the clip shows, in words."""
        return str(self.settings.get("prompt", ""))

    def with_settings(self, **settings: object) -> Self:
        """Return the same with these settings laid over its own."""
        return replace(self, settings={**self.settings, **settings})


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A setting varied on the same clips while all others stay.

    Args:
        name: on the command line and of files.
        what: the setting and the values, for people.
        expected: what should come of it if the setting works.
        values: it takes, in the order of tables; the first is the one others are compared with.
        vary: gives a setup a value.
        label: of a value in tables, `{}` standing for it.
        choices: the only values it can take; any number if empty.
        shows_motion: whether motion strips show more than stills.
        is_refining: whether clips are inputs themselves, refined at their own size and rate: there is no truth then.
        is_extra: whether it is done only when named.
    """

    name: str
    what: str
    expected: str
    values: tuple[Value, ...]
    vary: Callable[[Setup, Value], Setup]
    label: str = "{}"
    choices: tuple[str, ...] = ()
    shows_motion: bool = False
    is_refining: bool = False
    is_extra: bool = False

    def label_of(self, value: Value) -> str:
        """Return how a value is called in tables."""
        return self.label.format(value if isinstance(value, str) else f"{value:g}")

    def with_values(self, text: str) -> Self:
        """Return the study with other values, given as "1,3,7.5".

        Raises:
            SettingsError: one is unknown or no number, or one is given twice.
        """
        words = [word.strip() for word in text.split(",") if word.strip()]
        values: list[Value] = list(words) if self.choices else [_number(self.name, word) for word in words]
        unknown = [value for value in values if self.choices and value not in self.choices]
        if unknown or not values or len(set(values)) < len(values):
            allowed = f"different values from {', '.join(self.choices)}" if self.choices else "different numbers"
            raise SettingsError(f"study {self.name}: values {text!r} must be {allowed}, comma-separated")
        return replace(self, values=tuple(values))


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


def _words(setup: Setup, value: Value) -> Setup:
    words, negative, guidance = _WORDS[str(value)]
    prompt = ", ".join(filter(None, (setup.prompt, words)))
    return setup.with_settings(prompt=prompt, prompt_suffix="", negative_prompt=negative, guidance_scale=guidance)


def _stated_scale(setup: Setup, value: Value) -> Setup:
    return setup.with_settings(downscale_factor=min(max(float(value) * setup.scale, 1), 8))


STUDIES = (
    Study(
        name="guidance",
        what=f'Guidance scale, away from the negative prompt "{BAD}".',
        expected="More guidance gives sharper and more contrasted pictures; too much over-sharpens. 1 is no guidance.",
        values=(1, 2, 3, 5),
        vary=lambda setup, value: setup.with_settings(guidance_scale=value, negative_prompt=BAD),
        label="guidance {}",
    ),
    Study(
        name="words",
        what=f'Quality words after the prompt: "{GOOD}" or "{BAD}"; the last two also steer away from the others, '
        "at guidance 3.",
        expected="Good words give sharper pictures than bad ones, even more so with guidance.",
        values=tuple(_WORDS),
        vary=_words,
        choices=tuple(_WORDS),
    ),
    Study(
        name="noise",
        what="Noise augmentation: noise added to the input frames before the model sees them.",
        expected="More noise frees the model from the input: less faithful, more invented detail, fewer artefacts.",
        values=(0, 100, 200, 300),
        vary=lambda setup, value: setup.with_settings(noise_augmentation=_whole(value)),
        label="noise {}",
    ),
    Study(
        name="told-scale",
        what="Downscale factor that the model assumes, as a multiple of the true one (kept within 1 to 8).",
        expected="The true factor is most faithful; a smaller one sharpens less, a larger one too much.",
        values=(1, 0.25, 0.5, 2),
        vary=_stated_scale,
        label="assumed {} x the true one",
    ),
    Study(
        name="scales",
        what="How many times smaller the input is, and the output larger again.",
        expected="Quality falls evenly with the scale, fractions included: no scale is worse than the next larger one.",
        values=(2.5, 3, 3.5, 4, 4.5),
        vary=lambda setup, value: replace(setup, scale=float(value)),
        label="{} x larger",
    ),
    Study(
        name="times",
        what="Frame rate factor: one in so many frames is the input's.",
        expected="Quality falls evenly with the factor; strips stay smooth.",
        values=(3, 4, 5),
        vary=lambda setup, value: replace(setup, factor=_whole(value)),
        label="{} x the rate",
        shows_motion=True,
    ),
    Study(
        name="refine",
        what="The clips themselves, refined at their own size and rate with different noise augmentation.",
        expected="Flicker and artefacts fall while the clip stays recognisable (input_ssim); more noise changes more.",
        values=(0, 100, 200),
        vary=lambda setup, value: replace(setup, scale=1, factor=1).with_settings(noise_augmentation=_whole(value)),
        label="noise {}",
        shows_motion=True,
        is_refining=True,
    ),
    Study(
        name="seeds",
        what="The random seed: how much is chance, as a yardstick for the other studies.",
        expected="Pictures differ in details only; the figures agree.",
        values=(0, 1),
        vary=lambda setup, value: setup.with_settings(seed=_whole(value)),
        label="seed {}",
    ),
    Study(
        name="steps",
        what="Solver steps.",
        expected="More steps give finer pictures, up to a point.",
        values=(1, 2, 4, 8),
        vary=lambda setup, value: setup.with_settings(steps=_whole(value)),
        label="{} steps",
        is_extra=True,
    ),
    Study(
        name="start",
        what="Start timestep: how much noise the enlarged input gets before it is denoised.",
        expected="A low start stays close to the enlarged input; a high one invents more.",
        values=(899, 999, 700, 500, 300, 100),
        vary=lambda setup, value: setup.with_settings(start_timestep=_whole(value), timetable="trailing"),
        label="start {}",
        is_extra=True,
    ),
    Study(
        name="start-noise",
        what="Share of the start timestep's noise added to the enlarged input.",
        expected="A model finished for few steps needs none; one trained on v alone needs all of it.",
        values=(0, 0.5, 1),
        vary=lambda setup, value: setup.with_settings(start_noise=value),
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
    selection = set(names) or {study.name for study in STUDIES if not study.is_extra}
    selection = set(known) if "all" in selection else selection
    texts = {name: text for name, _, text in (pair.partition("=") for pair in values)}
    if unknown := sorted((selection | texts.keys()) - known.keys()):
        raise SettingsError(f"unknown study {unknown[0]!r}; there are {', '.join(known)}, and all")
    if unused := sorted(texts.keys() - selection):
        raise SettingsError(f"--values {unused[0]}=... belongs to a study that does not run; add it to --studies")
    studies = (study for study in STUDIES if study.name in selection)
    return [study.with_values(texts[study.name]) if study.name in texts else study for study in studies]


def _whole(value: Value) -> int:
    """Return a value that must be whole; raises `SettingsError` if it is not."""
    if float(value) != int(float(value)):
        raise SettingsError(f"{value} must be a whole number")
    return int(float(value))


def _number(study: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise SettingsError(
            f"study {study}: {word!r} is not a number; pass numbers, as in --values {study}=1,2"
        ) from None
