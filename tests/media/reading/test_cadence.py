"""What repeats is found where it does and nowhere else, told in the plan, and left out on demand."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from media.clips import make_clip
from venhancer.enhance import plan_video
from venhancer.errors import SettingsError
from venhancer.media.reading.cadence import Cadence, find_cadence
from venhancer.media.reading.probe import probe
from venhancer.media.reading.shots import look_through
from venhancer.planning.timeline import make_timeline
from venhancer.reports.plan_rows import describe_plan
from venhancer.settings import EnhanceSettings, parse_settings

WIDTH, HEIGHT, LENGTH = 96, 64, 60


def scene(moment: float, speed: float = 4.0, seed: int = 0) -> np.ndarray:
    """Return a picture of soft blobs that move."""
    places = np.random.default_rng(seed).random((6, 2)) * (WIDTH, HEIGHT)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    light = np.zeros((HEIGHT, WIDTH))
    for number, (left, top) in enumerate(places):
        across = (left + speed * moment * (1 + number % 3)) % WIDTH
        light += np.exp(-((x - across) ** 2 + (y - top) ** 2) / 60)
    return np.repeat((40 + 180 * np.clip(light, 0, 1))[..., None], 3, axis=2).astype(np.uint8)


def holds(lengths: Sequence[int], speed: float = 4.0) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """Return a clip of drawings held for so many frames each, again and again, and which frames repeat."""
    frames, repeats, drawing = [], [], 0
    while len(frames) < LENGTH:
        for index in range(lengths[drawing % len(lengths)]):
            repeats += [len(frames)] if index else []
            frames.append(scene(drawing, speed))
        drawing += 1
    return frames[:LENGTH], tuple(number for number in repeats if number < LENGTH)


def dropped(*lost: int) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """Return a clip in which some frames were lost and the last one before was shown instead."""
    shown = [max(number for number in range(place + 1) if number not in lost) for place in range(LENGTH)]
    return [scene(number) for number in shown], lost


def two_scenes() -> tuple[list[np.ndarray], tuple[int, ...]]:
    half = LENGTH // 2
    return [scene(number, seed=number // half) for number in range(LENGTH)], ()


CASES: dict[str, tuple[Callable[[], tuple[list[np.ndarray], tuple[int, ...]]], int | None]] = {
    "moving": (lambda: holds([1]), None),
    "standing still": (lambda: ([scene(0)] * LENGTH, ()), None),
    "moving slowly": (lambda: holds([1], speed=0.2), None),
    "a cut": (two_scenes, None),
    "a hold that is meant": (lambda: ([scene(min(n, 20) if n < 40 else n - 20) for n in range(LENGTH)], ()), None),
    "held twos": (lambda: holds([2]), 2),
    "held threes": (lambda: holds([3]), 3),
    "film in 30 a second": (lambda: holds([1, 1, 1, 2]), 5),
    "film in 60 a second": (lambda: holds([2, 3]), 5),
    "lost frames": (lambda: dropped(7, 18, 19, 33, 52), None),
}
"""Clips of known truth: what repeats, and in which pattern."""


@pytest.mark.parametrize("crf", ["8", "30"])
@pytest.mark.parametrize("case", CASES)
def test_ten_cases_of_known_truth(tmp_path, case, crf):
    make, period = CASES[case]
    pictures, repeats = make()
    path = make_clip(tmp_path / "in.mp4", width=WIDTH, height=HEIGHT, rate=24, pictures=pictures, options={"crf": crf})
    found = look_through(probe(path)).cadence
    assert found == Cadence(repeats=repeats, period=period)


def test_what_is_kept_lies_at_the_time_of_the_film():
    twos = Cadence(repeats=tuple(range(1, 20, 2)), period=2)
    kept, times = twos.times(range(20))
    assert kept == tuple(range(0, 20, 2))
    assert times == tuple(map(Fraction, range(0, 20, 2)))
    film = Cadence(repeats=tuple(range(4, 40, 5)), period=5)  # 24 in 30 frames a second
    kept, times = film.times(range(40))
    steps = {after - before for before, after in pairwise(times[3:])}
    assert steps == {Fraction(5, 4)}
    lost = Cadence(repeats=(7, 18))
    kept, times = lost.times(range(20))
    assert [int(time) for time in times] == [number for number in range(20) if number not in (7, 18)] == list(kept)
    assert lost.times(range(7, 12))[0][0] == 7  # a first frame repeats nothing that is there


def test_plans_name_repeats_and_leave_them_out_on_demand(tmp_path):
    pictures, _ = holds([2])
    path = make_clip(tmp_path / "in.mp4", width=WIDTH, height=HEIGHT, rate=24, pictures=pictures)
    plan = plan_video(path, parse_settings(scale=1))
    assert dict(describe_plan(plan))["repeats"] == (
        "30 of 60 frames repeat the one before, in a pattern of 2: pass --drop-duplicates to make their motion even"
    )
    assert plan.key_frames == tuple(range(60))
    mended = plan_video(path, parse_settings(scale=1, drop_duplicates=True))
    assert dict(describe_plan(mended))["repeats"].endswith("left out, and frames between are made")
    assert mended.frames == 60
    assert mended.key_frames == tuple(range(0, 60, 2))
    assert mended.duration == plan.duration
    slower = plan_video(path, parse_settings(scale=1, fps=12, drop_duplicates=True))
    assert (slower.frames, slower.key_frames) == (30, tuple(range(30)))
    assert slower.source == tuple(range(0, 60, 2))
    without_cuts = plan_video(path, parse_settings(scale=1, drop_duplicates=True, shots=False))
    assert without_cuts.key_frames == mended.key_frames
    assert "repeats" not in str(mended.to_json()["cadence"])  # one entry a frame is not for JSON


def test_film_in_a_faster_video_becomes_even_again(tmp_path):
    pictures, _ = holds([1, 1, 1, 2])
    path = make_clip(tmp_path / "in.mp4", width=WIDTH, height=HEIGHT, rate=30, pictures=pictures)
    plan = plan_video(path, parse_settings(scale=1, fps=24, drop_duplicates=True))
    shown = [number for number in plan.source if 5 <= number < 55]
    kept = [number for number in range(5, 55) if number % 5 != 4]
    assert set(shown) >= set(kept) - {5, 54}
    assert sum(plan.is_key) >= plan.frames - 2


def test_repeats_of_varying_timing_and_of_the_published_program_are_kept():
    with pytest.raises(SettingsError, match="the published program keeps every frame"):
        parse_settings(drop_duplicates=True, published=True)
    assert find_cadence([]) == Cadence()
    assert make_timeline.__doc__
    assert EnhanceSettings(drop_duplicates=True, shots=False).looks_through
