"""Every entry of the catalogue asks for what its name says, and the user's own values are checked."""

import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.studies.catalogue import BAD, GOOD, STUDIES, Setup, choose_studies
from venhancer.settings import parse_settings

BASE = Setup(scale=4, factor=3, settings={"prompt": "a cat", "seed": 5})
ASKED = {
    "guidance": ("guidance_scale", [1, 2, 3, 5]),
    "noise": ("noise_augmentation", [0, 100, 200, 300]),
    "told-scale": ("downscale_factor", [4, 1, 2, 8]),
    "refine": ("noise_augmentation", [0, 100, 200]),
    "seeds": ("seed", [0, 1]),
    "steps": ("steps", [1, 2, 4, 8]),
    "start-noise": ("start_noise", [0, 0.5, 1]),
    "start": ("start_timestep", [899, 999, 700, 500, 300, 100]),
}


def study(name):
    return choose_studies([name])[0]


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_entry_asks_for_settings_that_there_are(study):
    labels = {study.label_of(value) for value in study.values}
    assert len(labels) == len(study.values)
    for value in study.values:
        setup = study.vary(BASE, value)
        parse_settings(scale=setup.scale, **setup.settings)
    assert study.what.endswith(".")
    assert study.expected.endswith(".")


@pytest.mark.parametrize(("name", "asked"), ASKED.items())
def test_a_study_varies_its_setting_and_no_other(name, asked):
    setting, values = asked
    setups = [study(name).vary(BASE, value) for value in study(name).values]
    assert [setup.settings[setting] for setup in setups] == values
    others = [{key: value for key, value in setup.settings.items() if key != setting} for setup in setups]
    assert all(other == others[0] for other in others)


def test_scales_and_times_vary_the_input():
    assert [study("scales").vary(BASE, value).scale for value in study("scales").values] == [2.5, 3, 3.5, 4, 4.5]
    assert [study("times").vary(BASE, value).factor for value in study("times").values] == [3, 4, 5]
    refined = study("refine").vary(BASE, 100)
    assert (refined.scale, refined.factor) == (1, 1)


def test_words_go_to_the_prompt_and_away_from_their_opposite():
    asked = {value: study("words").vary(BASE, value).settings for value in study("words").values}
    assert asked["none"]["prompt"] == "a cat"
    assert asked["good-not-bad"]["prompt"] == f"a cat, {GOOD}"
    assert asked["bad-not-good"]["negative_prompt"] == GOOD
    assert asked["bad"]["prompt"].endswith(BAD)
    assert [settings["guidance_scale"] for settings in asked.values()] == [1, 1, 1, 3, 3]


def test_without_names_all_but_the_extra_ones_are_done():
    names = [study.name for study in choose_studies()]
    assert names == ["guidance", "words", "noise", "told-scale", "scales", "times", "refine", "seeds"]
    assert [study.name for study in choose_studies(["all"])] == [*names, "steps", "start", "start-noise"]
    assert [study.name for study in choose_studies(["noise", "guidance"])] == ["guidance", "noise"]


def test_values_can_be_others():
    guidance, words = choose_studies(["guidance", "words"], ["guidance=1,7.5", "words=good,bad"])
    assert (guidance.values, words.values) == ((1, 7.5), ("good", "bad"))
    assert guidance.label_of(7.5) == "guidance 7.5"


@pytest.mark.parametrize(
    ("names", "values", "reason"),
    [
        (["guidence"], [], "unknown study 'guidence'; there are guidance, words"),
        ([], ["gidance=1"], "unknown study 'gidance'"),
        (["noise"], ["guidance=1"], "--values guidance=... belongs to a study that does not run"),
        ([], ["guidance=1,two"], "study guidance: 'two' is not a number"),
        ([], ["guidance=1,1"], "must be different numbers"),
        ([], ["guidance="], "must be different numbers"),
        ([], ["words=good,great"], "must be different values from none, good, bad"),
    ],
)
def test_mistakes_are_told(names, values, reason):
    with pytest.raises(SettingsError) as refusal:
        choose_studies(names, values)
    assert reason in str(refusal.value)


def test_a_value_that_must_be_whole_is_not_rounded():
    with pytest.raises(SettingsError, match=r"2\.5 must be a whole number"):
        study("times").vary(BASE, 2.5)
