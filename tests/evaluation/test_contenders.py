"""Who takes part is told from words, and what an output depends on is told apart."""

from fractions import Fraction

import numpy as np
import pytest

from venhancer.errors import SettingsError, WeightsError
from venhancer.evaluation.baselines.baseline import Request
from venhancer.evaluation.cache import digest_values
from venhancer.evaluation.contenders import (
    BASELINES,
    command_contender,
    model_contender,
    parse_contender,
)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_had_by_name(name, tmp_path):
    pytest.importorskip("ncnn")
    pytest.importorskip("imageio_ffmpeg")
    contender = parse_contender(name, tmp_path)
    assert contender.name == name
    assert not list(tmp_path.iterdir())  # nothing is fetched before it is needed


def test_a_model_enhances_with_settings_of_its_own(tiny_model, tmp_path):
    contender = parse_contender(f"{tiny_model}@steps=1@prompt=a cat", tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    request = Request(key_frames=frames, rate=Fraction(8), scale=2, factor=2)
    assert request.check(contender.load()(request)).shape == (5, 32, 32, 3)
    assert contender.identity["settings"] == {"steps": "1", "prompt": "a cat"}


def test_settings_and_weights_change_the_identity(tiny_model, tmp_path):
    plain = model_contender(tiny_model, {})
    assert digest_values(plain.identity) == digest_values(model_contender(tiny_model, {}, name="another").identity)
    assert digest_values(plain.identity) != digest_values(model_contender(tiny_model, {"steps": 1}).identity)
    copy = tmp_path / "copy"
    for file in (file for file in tiny_model.rglob("*") if file.is_file()):
        place = copy / file.relative_to(tiny_model)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    assert digest_values(plain.identity) == digest_values(model_contender(copy, {}).identity)
    (copy / "model_index.json").write_text((copy / "model_index.json").read_text().replace('"steps": 2', '"steps": 3'))
    assert digest_values(plain.identity) != digest_values(model_contender(copy, {}).identity)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nanoo", "unknown contender 'nanoo'; there are nano, v1, v2, bicubic"),
        ("nano@steps", "'steps' is not name=value"),
        ("nano@stesp=4", "unknown setting stesp; did you mean steps"),
        ("nano@scale=2", "scale must be the same for all; use --scale"),
        ("nano@steps=0", "steps 0 is below 1"),
    ],
)
def test_wrong_words_are_refused(word, message, tmp_path):
    with pytest.raises(SettingsError, match=message):
        parse_contender(word, tmp_path)


def test_a_model_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("VENHANCER_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="weights download v1"):
        parse_contender("v1", tmp_path)


def test_a_baseline_without_its_package_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("venhancer.evaluation.contenders.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"span\+rife needs ncnn: run pip install 'venhancer\[evaluate\]'"):
        parse_contender("span+rife", tmp_path)


def test_a_program_is_a_contender():
    contender = command_contender("mine=cp {input} {output}")
    assert (contender.name, contender.identity["command"]) == ("mine", "cp {input} {output}")
