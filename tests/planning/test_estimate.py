import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from venhancer.diffusion.timetable import Evaluation
from venhancer.model_files.network_shape import NetworkShape
from venhancer.model_files.traits import load_traits
from venhancer.models import VideoUNet
from venhancer.planning.estimate import estimate_cost, network_flops

PUBLISHED = NetworkShape()
PLAIN, GUIDED = Evaluation(500), Evaluation(500, is_guided=True)


def test_parts_of_the_published_forward():
    flops = network_flops(PUBLISHED, 32, 90, 160, 77)
    shares = {part: round(count / 1e12, 1) for part, count in flops.by_part.items()}
    assert shares == {"control": 72.2, "encoder": 71.4, "decoder": 114.4}
    assert round(flops.total / 1e12, 1) == 258.0
    assert sum(flops.by_kind.values()) == flops.total


@pytest.mark.parametrize(
    ("latents", "key_frames", "tera_flops", "digits"),
    [
        ((1, 90, 160), 1, 8.045, 3),
        ((16, 90, 160), 16, 128.86, 2),
        ((48, 90, 160), 48, 387.5, 1),
        ((46, 90, 160), 16, 371.3, 1),
        ((31, 130, 200), 11, 543.5, 1),
        ((32, 146, 264), 11, 989.0, 1),
        ((32, 162, 264), 11, 1155.3, 1),
        ((5, 18, 16), 2, 0.703, 3),
        ((8, 18, 32), 3, 2.219, 3),
        ((16, 18, 32), 6, 4.441, 3),
        ((8, 34, 64), 3, 7.979, 3),
        ((16, 34, 64), 6, 15.97, 2),
    ],
)
def test_published_totals_to_the_printed_digit(latents, key_frames, tera_flops, digits):
    flops = network_flops(PUBLISHED, *latents, 77, key_frames=key_frames)
    assert round(flops.total / 1e12, digits) == tera_flops


def test_published_kinds_to_the_printed_digit():
    flops = network_flops(PUBLISHED, 32, 90, 160, 77)
    assert {kind: round(count / 1e12, 2) for kind, count in flops.by_kind.items() if kind != "embeddings"} == {
        "spatial self-attention": 68.30,
        "spatial convolutions": 61.18,
        "temporal feed-forward": 30.94,
        "temporal convolutions": 28.09,
        "spatial feed-forward": 25.14,
        "temporal attention linears": 20.63,
        "spatial self-attention linears": 8.38,
        "temporal projections": 4.79,
        "cross-attention linears": 4.37,
        "spatial projections": 4.19,
        "control convolutions": 0.85,
        "temporal attention": 0.60,
        "cross-attention": 0.57,
    }
    assert 0.002 < flops.by_kind["embeddings"] / 1e12 < 0.003


def test_what_comes_before_the_text_is_shared_by_both_branches():
    flops = network_flops(PUBLISHED, 32, 90, 160, 77)
    assert round(100 * flops.before_text / flops.total, 1) == 13.2
    assert flops.guided == 2 * flops.total - flops.before_text


def test_a_job_is_its_windows_times_its_evaluations():
    traits = load_traits("v1")
    whole = range(32)
    one, twenty = (
        estimate_cost(traits, height=90, width=160, segments=[(whole, (whole,))], evaluations=[PLAIN] * evaluations)
        for evaluations in (1, 20)
    )
    assert one.network_flops == network_flops(PUBLISHED, 32, 90, 160, 77).total
    assert twenty.network_flops == 20 * one.network_flops


def test_tiles_and_separate_prompts_cost_what_they_repeat():
    whole = range(32)
    job = {"height": 90, "width": 160, "segments": [(whole, (whole,))], "evaluations": [PLAIN]}
    traits = load_traits("v1")
    alone, tiled = (estimate_cost(traits, **job, **tiles) for tiles in ({}, {"tile": (50, 88), "tiles": 4}))
    assert tiled.network_flops == 4 * network_flops(PUBLISHED, 32, 50, 88, 77).total > alone.network_flops
    together, apart = (
        estimate_cost(traits, **job | {"evaluations": [GUIDED]}, shares_prompts=shared) for shared in (True, False)
    )
    assert together.network_flops == network_flops(PUBLISHED, 32, 90, 160, 77).guided
    assert apart.network_flops == 2 * alone.network_flops


def test_where_features_are_reused_only_the_way_up_costs():
    flops = network_flops(PUBLISHED, 32, 90, 160, 77)
    reused, guided = (flops.of(one._replace(reuses=True), shares_prompts=True) for one in (PLAIN, GUIDED))
    assert 2 * reused == guided
    assert round(reused / 1e12, 1) == 114.4


def test_counted_operations_of_the_way_up():
    """Those that torch counts when features are given, in a real network of the published shape."""
    with torch.device("meta"), torch.inference_mode():
        unet = VideoUNet()
        latents, timesteps = torch.zeros(1, 4, 8, 18, 32), torch.zeros(1, dtype=torch.int64)
        text, features = unet.project_text(torch.zeros(1, 77, 1024)), []
        unet(latents, timesteps, text, features=features)
        with FlopCounterMode(display=False) as counter:
            unet(latents, timesteps, text, features=features)
    planned = network_flops(PUBLISHED, 8, 18, 32, 77).by_part["decoder"]
    assert counter.get_total_flops() == pytest.approx(planned, rel=0.04)  # text keys are counted once a frame
