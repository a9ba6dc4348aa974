import errno
from fractions import Fraction
from itertools import pairwise

import pytest
import torch

from venhancer.errors import SettingsError
from venhancer.media.clip import describe_frames
from venhancer.model_files.traits import load_traits
from venhancer.plan import make_plan, next_smaller
from venhancer.planning.execution import Execution
from venhancer.planning.memory import SURE_SHARE, Machine, is_out_of_memory
from venhancer.reports.plan_rows import describe_plan
from venhancer.settings import format_memory, parse_memory, parse_settings

GIGABYTE = 10**9
HALF = Machine(number_format="bf16")


def plan_of(machine=HALF, frames=24, **settings):
    clip = describe_frames(frames, 180, 320, Fraction(8))
    settings = {"model": "v2", "fps": 24, **settings}
    return make_plan(clip, parse_settings(**settings), load_traits(settings["model"]), machine=machine)


def longest(plan) -> int:
    return max(len(window) for segment in plan.segments for window in segment.windows)


@pytest.mark.parametrize(
    ("given", "count"),
    [("8GB", 8 * 10**9), ("500 mb", 5 * 10**8), ("1.5GiB", 3 * 2**29), ("16g", 16 * 10**9), (10**9, 10**9)],
)
def test_amounts_of_memory_are_understood(given, count):
    assert parse_memory(given) == count


@pytest.mark.parametrize("given", ["8 pounds", "-1GB", "99MB", "", "8GBit", "1e9GB"])
def test_other_amounts_are_refused_in_one_line(given):
    with pytest.raises(SettingsError, match=r"memory .*; pass --memory 100MB or more, such as 8GB"):
        parse_settings(memory=given)


@pytest.mark.parametrize("count", [10**8, 123_456_789, 999_999_999, 7_000_000_001, 8 * 10**9])
def test_amounts_are_written_so_that_they_are_enough(count):
    assert count <= parse_memory(format_memory(count)) <= 1.1 * count + 10**6


def test_nothing_is_divided_while_there_is_room():
    plan = plan_of()
    assert plan.execution == Execution()
    assert len(plan.tiles) == len(plan.coded_tiles) == 1
    assert longest(plan) == 27  # 72 frames in the fewest windows of up to 32


@pytest.mark.parametrize("gigabytes", [24, 16, 12, 10, 8])
def test_every_plan_stays_within_the_memory_asked_for(gigabytes):
    plan = plan_of(memory=f"{gigabytes}GB")
    assert plan.machine.memory == gigabytes * GIGABYTE
    assert plan.footprint.total <= gigabytes * GIGABYTE * SURE_SHARE


def test_less_memory_costs_no_less_work():
    work = [plan_of(memory=f"{gigabytes}GB").estimate.network_flops for gigabytes in (32, 16, 10, 8)]
    assert work == sorted(work)
    assert work[0] < work[-1]


def test_what_was_asked_for_stays():
    plan = plan_of(memory="16GB", window_frames=16, tile="512x512", size="1280x720")
    assert longest(plan) <= 16
    assert max(len(tile.rows) for tile in plan.tiles) <= 512 // 8


def test_what_cannot_fit_is_refused_with_what_would():
    with pytest.raises(
        SettingsError, match=r"the 3GB of --memory are too little.*pass --memory \d+\.?\d*GB or more"
    ) as refusal:
        plan_of(memory="3GB")
    needed = str(refusal.value).split("pass --memory ")[1].split(" ")[0]
    assert plan_of(memory=needed).footprint.total <= parse_memory(needed)


def test_what_was_asked_for_and_cannot_fit_is_refused():
    with pytest.raises(SettingsError, match="or omit --window-frames and --tile"):
        plan_of(memory="6GB", window_frames=32, tile="1280x720", size="1280x720")


def test_full_precision_that_cannot_fit_is_told_of_half():
    with pytest.raises(SettingsError, match="or --dtype bf16"):
        plan_of(Machine(), memory="8GB")


def test_free_memory_is_the_limit_unless_told_otherwise():
    with pytest.raises(SettingsError, match=r"the 4GB of free memory are too little.*free \d+\.?\d*GB"):
        plan_of(Machine(memory=4 * GIGABYTE, number_format="bf16"))
    assert plan_of(Machine(memory=GIGABYTE, number_format="bf16"), memory="32GB").machine.memory == 32 * GIGABYTE


def test_weights_wait_only_where_nothing_faster_fits():
    gpu = Machine(number_format="bf16", has_own_memory=True)
    assert plan_of(gpu, memory="24GB").execution.offload == "none"
    waiting = plan_of(gpu, memory="6GB")
    assert waiting.execution.offload != "none"
    assert waiting.estimate.moved_bytes > 0
    assert waiting.footprint.total <= 6 * GIGABYTE * SURE_SHARE
    assert "weights wait in main memory and load by" in dict(describe_plan(waiting))["execution"]


def test_frames_are_coded_together_where_there_is_room_for_whole_ones():
    gpu = Machine(number_format="bf16", has_own_memory=True)
    plan = plan_of(gpu, memory="40GB", size="1280x720", model="v1")
    assert plan.execution.coded_frames > 1
    assert "frames through the autoencoder at once" in dict(describe_plan(plan))["execution"]
    small = plan_of(gpu, memory="6GB", size="1280x720", model="v1")
    assert small.execution.coded_frames == 1
    assert small.footprint.total <= 6 * GIGABYTE * SURE_SHARE
    assert plan_of(size="1280x720", model="v1").execution.coded_frames == 1


def test_weights_wait_where_it_is_asked_for_and_only_there():
    gpu = Machine(memory=80 * GIGABYTE, number_format="bf16", has_own_memory=True)
    sizes = {how: plan_of(gpu, offload=how).footprint.weights for how in ("none", "components", "groups")}
    assert plan_of(gpu, offload="groups").execution.offload == "groups"
    assert sizes["none"] > sizes["components"] > sizes["groups"] > 0
    with pytest.raises(SettingsError, match="too little"):
        plan_of(gpu, offload="none", memory="5GB")


@pytest.mark.parametrize("how", ["components", "groups"])
def test_weights_cannot_wait_in_main_memory_where_they_are_there_anyway(how):
    with pytest.raises(SettingsError, match=f"offload {how} is for a GPU .* pass --offload auto or none"):
        plan_of(offload=how)


def test_autoencoder_is_divided_before_the_networks():
    """Tiles cost the networks a fifth more work; a few frames decoded together take most memory."""
    plan = plan_of(memory="8GB", size="640x360")
    assert len(plan.coded_tiles) > len(plan.tiles) == 1


def test_smaller_plans_keep_segments_and_end():
    plan = plan_of(frames=100, size="1280x720")
    sizes = [plan.footprint.total]
    while (smaller := next_smaller(plan)) is not None:
        assert smaller.segments == plan.segments
        assert smaller.sampling == plan.sampling
        sizes.append(smaller.footprint.total)
        plan = smaller
    assert len(sizes) > 3
    assert all(after <= before * SURE_SHARE for before, after in pairwise(sizes))


def test_a_tile_that_was_asked_for_stays_when_memory_runs_out():
    smaller = next_smaller(plan_of(tile="512x512", size="1280x720"))
    assert smaller is not None
    assert smaller.tiles == plan_of(tile="512x512", size="1280x720").tiles


def test_a_long_clip_takes_as_much_memory_as_a_short_one():
    short, long = (plan_of(frames=frames, model="nano") for frames in (800, 8000))
    assert long.footprint.total <= 1.02 * short.footprint.total


def test_only_errors_that_say_so_mean_that_memory_ran_out():
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("HIP: 2.00 GiB requested"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for a convolution"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
