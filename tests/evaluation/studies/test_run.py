"""Studies with a real tiny model: inputs as requested, every difference measured, the same again from the same seed."""

from fractions import Fraction

import numpy as np
import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.cache import Cache
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.studies.catalogue import Setup, choose_studies
from venhancer.evaluation.studies.run import INPUT, TRUTH, Model, StudySettings, load_model, make_input, run_study

QUICK = StudySettings(scale=2, factor=3, metrics=("psnr", "sharpness", "frame_difference_error"))


def clip(name: str = "noise", frames: int = 7, height: int = 48, width: int = 64) -> TestClip:
    """Smooth noise that drifts by a pixel a frame."""
    noise = np.random.default_rng(len(name)).integers(0, 256, (height, width + frames, 3))
    smooth = sum(np.roll(noise, (down, across), (0, 1)) for down in range(4) for across in range(4)) // 16
    moving = np.stack([smooth[:, n : n + width] for n in range(frames)]).astype(np.uint8)
    return TestClip(name=name, rate=Fraction(24), load=lambda: moving)


def study(name: str, values: str = ""):
    return choose_studies([name], [f"{name}={values}"] if values else [])[0]


class Enlarger:
    """A model that holds frames and enlarges pixels, darker by what is asked; it keeps its calls."""

    def __init__(self) -> None:
        self.calls = []

    def __call__(self, source, rate, size, setup):
        self.calls.append((source, rate, size, setup))
        rows, columns = np.arange(size[1]) * source.shape[1] // size[1], np.arange(size[0]) * source.shape[2] // size[0]
        darker = np.uint8(setup.settings.get("guidance_scale", 0))
        return np.repeat(source[:, rows][:, :, columns], setup.factor, axis=0) // 2 + 100 - darker

    def model(self) -> Model:
        return Model(self, {"of": "enlarger"})


def test_the_model_is_given_what_the_study_says(tmp_path):
    enlarger = Enlarger()
    run_study(study("scales", "2,3"), [clip()], QUICK, enlarger.model(), Cache(tmp_path))
    assert [source.shape for source, *_ in enlarger.calls] == [(3, 24, 32, 3), (3, 16, 22, 3)]
    assert [(rate, size) for _, rate, size, _ in enlarger.calls] == [(8, (64, 48))] * 2
    assert enlarger.calls[0][3].settings == {"prompt": "", "seed": 0}


def test_differences_are_in_levels_and_scores_have_both_ends(tmp_path):
    found = run_study(study("guidance", "1,3,5"), [clip(), clip("more")], QUICK, Enlarger().model(), Cache(tmp_path))
    assert found.outputs == ("guidance 1", "guidance 3", "guidance 5")
    assert (found.change("guidance 3"), found.change("guidance 5"), found.reach) == (2, 4, 4)
    assert set(found.scores["more"]) == {INPUT, *found.outputs}
    assert list(found.pictures["noise"].stills) == [INPUT, *found.outputs, TRUTH]
    assert found.mean("guidance 1", "psnr") == pytest.approx(
        np.mean([found.scores[name]["guidance 1"]["psnr"] for name in ("noise", "more")])
    )


def test_refining_takes_clips_as_they_are_and_has_no_truth(tmp_path):
    enlarger, whole = Enlarger(), StudySettings(metrics=("sharpness", "psnr", "input_ssim"))
    found = run_study(study("refine"), [clip()], whole, enlarger.model(), Cache(tmp_path))
    source, rate, size, setup = enlarger.calls[0]
    np.testing.assert_array_equal(source, clip().load())
    assert (rate, size, setup.factor) == (24, (64, 48), 1)
    assert [metric.name for metric in found.metrics] == ["sharpness", "input_ssim"]
    assert TRUTH not in found.pictures["noise"].stills


def test_outputs_of_other_lengths_are_compared_as_far_as_both_go(tmp_path):
    """Of 7 frames, a factor of 3 reaches all and one of 4 reaches five."""
    found = run_study(study("times", "3,4"), [clip()], QUICK, Enlarger().model(), Cache(tmp_path))
    assert 0 < found.reach < 255
    assert {len(line) for line in found.pictures["noise"].lines.values()} == {5}


def test_a_value_that_cannot_be_is_told_and_the_others_go_on(tmp_path):
    found = run_study(study("scales", "2,8"), [clip()], QUICK, Enlarger().model(), Cache(tmp_path))
    assert found.outputs == ("2 x larger",)
    assert "an input of 8x6 and 3 of 7 frames is too small" in found.errors["8 x larger"]


def test_kept_outputs_are_not_made_again(tmp_path):
    enlarger = Enlarger()
    first = run_study(study("guidance"), [clip()], QUICK, enlarger.model(), Cache(tmp_path))
    again = run_study(study("guidance"), [clip()], QUICK, enlarger.model(), Cache(tmp_path))
    assert len(enlarger.calls) == 4
    assert again.scores == first.scores
    run_study(study("guidance"), [clip()], QUICK, Model(enlarger, {"of": "another"}), Cache(tmp_path))
    assert len(enlarger.calls) == 8


def test_inputs_keep_even_sides_and_enough_frames():
    truth = clip(height=50, width=70).load()
    assert make_input(truth, Setup(scale=2.5, factor=3)).shape == (3, 20, 28, 3)
    with pytest.raises(SettingsError, match="two frames"):
        make_input(truth, Setup(scale=1, factor=7))


@pytest.mark.parametrize("name", ["guidance", "words", "noise", "told-scale", "seeds"])
def test_every_setting_of_a_real_model_does_something(name, tiny_model, tmp_path):
    """The tiny model has no silent branch: whatever is varied reaches the frames."""
    found = run_study(study(name), [clip(frames=4)], QUICK, load_model(str(tiny_model)), Cache(tmp_path))
    assert found.errors == {}
    assert found.reach > 0


def test_the_same_seed_gives_the_same_figures(tiny_model, tmp_path):
    one, other = (
        run_study(study("noise", "0,200"), [clip(frames=4)], QUICK, load_model(str(tiny_model)), Cache(tmp_path / name))
        for name in ("one", "other")
    )
    assert (one.scores, one.differences) == (other.scores, other.differences)
