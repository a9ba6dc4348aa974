"""An evaluation end to end on tiny clips: same frames for all, kept outputs, failures that stop nobody, reports."""

import json
import re
from fractions import Fraction

import numpy as np
import pytest

from venhancer.errors import InputError, JobFailed, SettingsError, WeightsError
from venhancer.evaluation.baselines.resizing import bicubic_repeat, lanczos_blend
from venhancer.evaluation.cache import Cache
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.contenders import Contender
from venhancer.evaluation.degrade import Degradation
from venhancer.evaluation.evaluation import EvaluateSettings, choose_metrics, evaluate
from venhancer.evaluation.pages import check_report_folder, to_json, to_markdown, write_pages
from venhancer.evaluation.tables import as_lines, failures, table_of_means

METRICS = ("psnr", "ssim", "frame_difference_error")


def clip(name: str, frames: int = 7, seed: int = 0) -> TestClip:
    """Smooth noise that drifts by a pixel a frame."""
    noise = np.random.default_rng(seed).integers(0, 256, (48, 64 + frames, 3))
    smooth = sum(np.roll(noise, (down, across), (0, 1)) for down in range(4) for across in range(4)) // 16
    moving = np.stack([smooth[:, n : n + 64] for n in range(frames)]).astype(np.uint8)
    return TestClip(name=name, rate=Fraction(24), load=lambda: moving)


def settings(**changes: object) -> EvaluateSettings:
    return EvaluateSettings(**{"degradation": Degradation(scale=2, factor=3), "metrics": METRICS, **changes})


class Counting:
    """A baseline that counts its requests and keeps the last."""

    def __init__(self, baseline=bicubic_repeat) -> None:
        self.baseline, self.requests = baseline, []

    def __call__(self, request):
        self.requests.append(request)
        return self.baseline(request)

    def contender(self, name: str = "counted", **identity: object) -> Contender:
        return Contender(name=name, load=lambda: self, identity={"of": name, **identity})


BICUBIC = Contender(name="bicubic", load=lambda: bicubic_repeat, identity={"of": "bicubic"})
BLEND = Contender(name="blend", load=lambda: lanczos_blend, identity={"of": "blend"})


def failing(message: str, on: int | None = None) -> Contender:
    """A contender that fails on every clip, or on the one of this number."""
    seen = []

    def enhance(request):
        seen.append(request)
        if on is None or len(seen) - 1 == on:
            raise RuntimeError(message)
        return bicubic_repeat(request)

    return Contender(name="bad", load=lambda: enhance, identity={"of": "bad", "on": on})


def test_every_contender_gets_the_same_frames_and_is_scored_on_all(tmp_path):
    counted = Counting()
    found = evaluate([clip("a"), clip("b", seed=1)], [counted.contender(), BLEND], settings(), Cache(tmp_path))
    assert [request.key_frames.shape for request in counted.requests] == [(3, 24, 32, 3)] * 2
    assert [request.rate for request in counted.requests] == [8, 8]
    assert dict(found.frames) == {"a": 7, "b": 7}
    assert found.contenders == ("counted", "blend", "truth")
    assert found.mean("truth", "psnr") == 100
    assert found.mean("blend", "frame_difference_error") < found.mean("counted", "frame_difference_error")
    assert found.mean("blend", "psnr") == pytest.approx(
        np.mean([found.result(c, "blend").scores["psnr"] for c in "ab"])
    )


def test_outputs_are_used_again_until_something_changes(tmp_path):
    counted, cache = Counting(), Cache(tmp_path)
    first = evaluate([clip("a")], [counted.contender()], settings(), cache)
    again = evaluate([clip("a")], [counted.contender()], settings(metrics=("psnr",)), cache)
    assert len(counted.requests) == 1
    assert again.result("a", "counted").scores["psnr"] == first.result("a", "counted").scores["psnr"]
    evaluate([clip("a")], [counted.contender(setting=1)], settings(), cache)
    evaluate([clip("a", seed=2)], [counted.contender()], settings(), cache)
    evaluate([clip("a")], [counted.contender()], settings(degradation=Degradation(scale=2, factor=2)), cache)
    evaluate([clip("a")], [counted.contender()], settings(), Cache(tmp_path, is_fresh=True))
    assert len(counted.requests) == 5


def test_one_that_fails_is_told_of_and_the_others_go_on(tmp_path):
    found = evaluate([clip("a"), clip("b", seed=1)], [failing("out of\nmemory"), BICUBIC], settings(), Cache(tmp_path))
    assert failures(found) == ["bad failed: RuntimeError: out of memory"]
    assert np.isfinite(found.mean("bicubic", "psnr"))
    assert np.isnan(found.mean("bad", "psnr"))
    rows = [line.split() for line in as_lines(table_of_means(found))]
    assert next(row for row in rows if row[0] == "bad")[1:] == ["-"] * 4


def test_means_are_over_clips_on_which_all_succeeded(tmp_path):
    found = evaluate([clip("a"), clip("b", seed=1)], [failing("no", on=0), BICUBIC], settings(), Cache(tmp_path))
    assert found.compared == ("b",)
    assert found.mean("bicubic", "psnr") == found.result("b", "bicubic").scores["psnr"]
    assert found.mean("bad", "psnr") == found.mean("bicubic", "psnr")
    assert failures(found) == ["bad failed on a: RuntimeError: no"]
    assert table_of_means(found).title == "Means over 1 clip of 2: those on which no contender failed"


def test_output_of_wrong_size_is_a_failure(tmp_path):
    wrong = Contender(name="wrong", load=lambda: lambda request: request.key_frames, identity={"of": "wrong"})
    (line,) = failures(evaluate([clip("a")], [wrong], settings(), Cache(tmp_path)))
    assert line == "wrong failed: it made 3 frames of 32x24, not 7 frames of 64x48; check its scale and rate"


def test_without_a_truth_clips_are_inputs(tmp_path):
    counted = Counting(lanczos_blend)
    asked = settings(has_reference=False, metrics=("input_ssim", "vbench_flicker", "sharpness"))
    found = evaluate([clip("a", frames=3)], [counted.contender()], asked, Cache(tmp_path))
    (request,) = counted.requests
    assert (request.key_frames.shape, request.rate, dict(found.frames)) == ((3, 48, 64, 3), 24, {"a": 7})
    assert found.contenders == ("counted", "input")
    assert found.mean("input", "sharpness") == 1
    assert found.mean("counted", "input_ssim") > 0.95


def test_a_clip_that_does_not_allow_a_metric_has_none(tmp_path):
    """NIQE needs 192x96; a number for one contender only would not be comparable."""
    found = evaluate([clip("a")], [BICUBIC], settings(metrics=("psnr", "niqe")), Cache(tmp_path))
    assert np.isnan(found.mean("bicubic", "niqe"))
    assert to_json(found)["means"]["bicubic"]["niqe"] is None
    assert np.isfinite(found.mean("bicubic", "psnr"))


def test_metrics_that_cannot_be_had_are_told_of_or_refused(tmp_path):
    metrics, left_out = choose_metrics(settings(metrics=None))
    assert any(line.startswith("lpips: it needs lpips in the folder --weights") for line in left_out)
    assert "input_ssim" not in [metric.name for metric in metrics]
    metrics, left_out = choose_metrics(settings(metrics=None, has_reference=False))
    assert all("in the folder --weights" in line for line in left_out)
    assert not any(metric.needs_reference for metric in metrics)
    with pytest.raises(SettingsError, match="unknown metric sharp"):
        choose_metrics(settings(metrics=("sharp",)))
    with pytest.raises(SettingsError, match="psnr cannot be measured: it needs the true frames"):
        choose_metrics(settings(has_reference=False))
    with pytest.raises(WeightsError, match="contains no weights"):
        choose_metrics(settings(metrics=None, weights={"lpips": tmp_path / "none"}))


def test_names_of_contenders_are_their_own(tmp_path):
    for contenders in ([], [BICUBIC, BICUBIC], [Counting().contender("truth")]):
        with pytest.raises(SettingsError, match="each with its own name"):
            evaluate([clip("a")], contenders, settings(), Cache(tmp_path))


def test_report_holds_everything_and_needs_no_network(tmp_path):
    clips, cache = [clip("a"), clip("b <i>", seed=1)], Cache(tmp_path / "kept")
    found = evaluate(clips, [BICUBIC, BLEND, failing("no")], settings(), cache)
    told, markdown, page = (file.read_text() for file in write_pages(tmp_path, found, clips, cache))
    assert json.loads(told) == json.loads(json.dumps(to_json(found)))
    assert json.loads(told)["results"][0]["contender"] == "truth"
    assert "| blend |" in markdown
    assert markdown == to_markdown(found)
    assert "- bad failed: RuntimeError: no" in markdown
    assert page.count("<img") == len(METRICS) + 2 * 2  # a plot each; of each clip stills and strips
    assert "<i>" not in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)|https?://|@import|<script", page)


def test_a_report_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not writable"):
        check_report_folder(tmp_path / "file")


def test_a_full_disk_is_told_of(tmp_path):
    (tmp_path / "outputs").write_text("a file where a folder should be")
    with pytest.raises(JobFailed, match="could not be stored"):
        evaluate([clip("a")], [BICUBIC], settings(), Cache(tmp_path))
