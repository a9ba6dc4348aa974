"""Metrics are found, chosen and refused by name."""

import numpy as np
import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.metrics.metric import Subject
from venhancer.evaluation.metrics.registry import all_metrics, lacks, metric_named, score

CLIP = np.random.default_rng(0).integers(0, 256, (4, 24, 32, 3), dtype=np.uint8)


def test_every_metric_says_how_to_read_it():
    for name, metric in all_metrics().items():
        assert (metric.name, metric.arrow) == (name, "↑" if metric.higher_is_better else "↓")
        assert metric.what
        assert metric.takes[0] == "result"


def test_tables_begin_with_the_usual_ones():
    assert list(all_metrics())[:3] == ["psnr", "ssim", "st_lpips"]


def test_score_takes_names_and_refuses_others():
    assert set(score(Subject(result=CLIP, reference=CLIP), ["psnr", "ssim"])) == {"psnr", "ssim"}
    with pytest.raises(SettingsError, match="unknown metric psnrr; there are psnr, ssim"):
        score(Subject(result=CLIP, reference=CLIP), ["psnrr"])


def test_score_refuses_clips_of_different_length():
    with pytest.raises(ValueError, match="shape"):
        score(Subject(result=CLIP[:2], reference=CLIP))


def test_without_names_only_what_can_be_had_is_measured():
    found = score(Subject(result=CLIP))
    assert "vbench_flicker" in found
    assert not found.keys() & {"psnr", "ssim", "frame_difference_error", "sharpness"}


def test_a_metric_that_needs_the_truth_says_so():
    with pytest.raises(SettingsError, match="psnr cannot be measured: it needs the true frames"):
        score(Subject(result=CLIP), ["psnr"])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("venhancer.evaluation.metrics.registry.find_spec", lambda _: None)
    reason = lacks(metric_named("vmaf"), Subject(result=CLIP, reference=CLIP))
    assert reason == "it needs imageio_ffmpeg: run pip install 'venhancer[evaluate]'"


def test_the_source_stands_in_for_the_truth():
    """Held and enlarged it is the likeness; its motion guides only if no moment is missing."""
    source = CLIP[::3, ::2, ::2]
    between = Subject(result=CLIP, source=source, factor=3)
    likeness = between.likeness
    assert likeness.shape == CLIP.shape
    np.testing.assert_array_equal(likeness[0], likeness[2])
    assert between.guide is None
    same = Subject(result=CLIP, source=CLIP)
    assert same.guide is CLIP
