"""Columns of the tables: motion and change against the truth, CLIP's aesthetics, and what runs as a program."""

from fractions import Fraction
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.vbench_program import make_vbench
from venhancer.errors import WeightsError
from venhancer.evaluation.metrics.aesthetic_quality import HEAD, aesthetic_quality
from venhancer.evaluation.metrics.features import as_tensor
from venhancer.evaluation.metrics.flolpips import flolpips
from venhancer.evaluation.metrics.lpips import load_lpips, load_lpips_maps
from venhancer.evaluation.metrics.metric import Subject
from venhancer.evaluation.metrics.motion import find_motion
from venhancer.evaluation.metrics.registry import all_metrics, lacks, score
from venhancer.evaluation.metrics.tlp import tlp
from venhancer.evaluation.metrics.tof import tof
from venhancer.evaluation.metrics.weights import find_weights, known_weights

_NOISE = np.random.default_rng(0).integers(0, 256, (150, 230, 3))
SMOOTH = (sum(np.roll(_NOISE, (down, across), (0, 1)) for down in range(6) for across in range(6)) // 36).astype(
    np.uint8
)


def moving(step: int, frames: int = 4) -> np.ndarray:
    """A window of 128x96 that moves over a smooth picture by so many pixels a frame."""
    return np.stack([SMOOTH[20:116, 20 + step * n : 148 + step * n] for n in range(frames)])


@pytest.fixture
def alexnet(tmp_path) -> Path:
    """Weights of LPIPS, random, of the right shapes."""
    torch.manual_seed(0)
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    state = {f"features.{place}.weight": torch.randn(shape) * 0.05 for place, shape in shapes.items()}
    state |= {f"features.{place}.bias": torch.zeros(shape[0]) for place, shape in shapes.items()}
    channels = [shape[0] for shape in shapes.values()]
    state |= {f"lin{n}.model.1.weight": torch.rand(1, width, 1, 1) for n, width in enumerate(channels)}
    torch.save(state, tmp_path / "lpips.pth")
    return tmp_path / "lpips.pth"


def test_tof_is_how_many_pixels_the_motion_is_off():
    truth = moving(1)
    assert tof(truth, truth) == 0
    assert tof(moving(3), truth) == pytest.approx(2, abs=0.15)
    assert tof(np.repeat(truth[:1], 4, axis=0), truth) == pytest.approx(1, abs=0.15)


def test_tlp_is_the_difference_of_changes(alexnet):
    truth, still = moving(2), np.repeat(moving(2)[:1], 4, axis=0)
    distance = load_lpips(alexnet)
    with torch.inference_mode():
        changes = [float(distance(as_tensor(a), as_tensor(b))) for a, b in pairwise(truth)]
    assert tlp(truth, truth, alexnet) == 0
    assert tlp(still, truth, alexnet) == pytest.approx(100 * np.mean(changes), rel=1e-4)


def test_flolpips_weighs_lpips_by_how_far_the_motion_is_off(alexnet):
    truth, result = moving(1, frames=2), moving(4, frames=2)
    off = find_motion(*truth).flow - find_motion(*result).flow
    flow = torch.from_numpy(off.transpose(2, 0, 1).copy())[None].float()
    expected = 0.0
    with torch.inference_mode():
        for one in load_lpips_maps(alexnet)(as_tensor(truth[0]), as_tensor(result[0])):
            size = torch.nn.functional.interpolate(flow, one.shape[1:], mode="bilinear").square().sum(1).sqrt()
            expected += float((one * size / size.sum()).sum())
    found = score(Subject(result=result, reference=truth, weights={"lpips": alexnet}), ["flolpips"])
    assert found["flolpips"] == pytest.approx(expected, rel=1e-4)
    assert flolpips(truth, truth, alexnet) == 0


@pytest.fixture
def aesthetic(tmp_path) -> Path:
    """A folder of a tiny CLIP and a predictor."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPVisionConfig(**sizes, image_size=28, patch_size=14, projection_dim=16)
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "aesthetic")
    torch.save({"weight": torch.randn(1, 16), "bias": torch.ones(1) * 5}, tmp_path / "aesthetic" / HEAD)
    return tmp_path / "aesthetic"


@torch.inference_mode()
def test_aesthetic_quality_is_the_predictor_on_unit_features_of_the_middle_square(aesthetic):
    from transformers import CLIPVisionModelWithProjection

    frames = np.random.default_rng(0).integers(0, 256, (2, 28, 40, 3), dtype=np.uint8)
    network = CLIPVisionModelWithProjection.from_pretrained(aesthetic)
    head = torch.load(aesthetic / HEAD, weights_only=True)
    mean, spread = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    pixels = (torch.from_numpy(frames[:, :, 6:34]).float() / 255 - torch.tensor(mean)) / torch.tensor(spread)
    features = network(pixels.movedim(-1, 1)).image_embeds
    features = features / features.norm(dim=1, keepdim=True)
    expected = float((features @ head["weight"][0] + head["bias"]).mean()) / 10
    assert aesthetic_quality(frames, aesthetic) == pytest.approx(expected, rel=1e-4)
    outside = frames.copy()
    outside[:, :, :6] = 0
    assert aesthetic_quality(outside, aesthetic) == aesthetic_quality(frames, aesthetic)


def test_a_predictor_for_another_clip_is_refused(aesthetic):
    torch.save({"weight": torch.randn(1, 12), "bias": torch.ones(1)}, aesthetic / HEAD)
    with pytest.raises(WeightsError, match="the predictor takes 12 numbers, CLIP 16"):
        aesthetic_quality(moving(1), aesthetic)


EVALUATE = """
import argparse, json, pathlib
import av
parser = argparse.ArgumentParser()
for name in ("videos_path", "dimension", "output_path", "mode"):
    parser.add_argument(f"--{name}", required=True)
words = parser.parse_args()
assert words.mode == "custom_input" and words.videos_path.endswith(".mp4")
with av.open(words.videos_path) as container:
    frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    rate = float(container.streams.video[0].average_rate)
mean = sum(float(frame.mean()) for frame in frames) / len(frames) / 255
result = json.dumps({words.dimension: [mean, [{"video_path": words.videos_path, "video_results": rate}]]})
(pathlib.Path(words.output_path) / "results_eval_results.json").write_text(result)
"""


def test_vbench_is_given_the_frames_without_loss(tmp_path):
    python = tmp_path / "weights" / "vbench" / "bin" / "python"
    python.parent.mkdir(parents=True)
    make_vbench(python, EVALUATE)
    clip, weights = moving(2), find_weights(tmp_path / "weights")
    subject = Subject(result=clip, rate=Fraction(8), weights=weights)
    found = score(subject, ["vbench_subject_consistency", "vbench_motion_smoothness"])
    assert found["vbench_subject_consistency"] == pytest.approx(clip.mean() / 255)


def test_fdim_is_read_from_what_its_program_says(tmp_path):
    program = tmp_path / "fdim" / "bin" / "fdim"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\n[ "$1 $2 $4" = "single --ref --dis" ] && echo "$5 video score is : 0.625"\n')
    program.chmod(0o755)
    subject = Subject(result=moving(1), reference=moving(1), weights=find_weights(tmp_path))
    assert score(subject, ["fdim"]) == {"fdim": 0.625}


@pytest.mark.skipif(find_spec("flip_evaluator") is None, reason="flip-evaluator is not installed")
def test_flip_is_zero_for_itself_and_large_for_black_on_white():
    black = np.zeros((1, 32, 32, 3), np.uint8)
    found = score(Subject(result=255 - black, reference=black), ["flip"])
    assert score(Subject(result=black, reference=black), ["flip"])["flip"] == 0
    assert found["flip"] > 0.9


@pytest.mark.skipif(find_spec("erqa") is None, reason="erqa is not installed")
def test_erqa_is_one_for_itself_and_lower_without_edges():
    truth = moving(1)
    assert score(Subject(result=truth, reference=truth), ["erqa"])["erqa"] == pytest.approx(1)
    assert score(Subject(result=np.full_like(truth, 128), reference=truth), ["erqa"])["erqa"] < 0.1


def test_whatever_needs_weights_says_which_and_where_from():
    needy = [metric for metric in all_metrics().values() if metric.needs_weights]
    assert {metric.weights_key for metric in needy} <= known_weights().keys()
    blank = np.zeros((1, 64, 64, 3), np.uint8)
    reasons = {metric.name: lacks(metric, Subject(result=blank, reference=blank)) for metric in needy}
    assert "koniq_ckpt.npz of https://github.com/google-research" in reasons["musiq_koniq"]
    assert all("in the folder --weights: " in reason for reason in reasons.values())


def test_weights_are_found_by_the_names_the_field_uses(tmp_path):
    for name in ("musiq_koniq_ckpt-e95806b9.pth", "spaq_ckpt.npz", "DOVER.pth"):
        (tmp_path / name).write_text("")
    (tmp_path / "lpips").mkdir()
    found = find_weights(tmp_path)
    assert {name: path.name for name, path in found.items()} == {
        "musiq_koniq": "musiq_koniq_ckpt-e95806b9.pth",
        "musiq_spaq": "spaq_ckpt.npz",
        "dover": "DOVER.pth",
        "lpips": "lpips",
    }
    assert find_weights(None) == {}
    with pytest.raises(WeightsError, match="is not a folder"):
        find_weights(tmp_path / "none")
