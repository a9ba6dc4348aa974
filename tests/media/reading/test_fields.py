"""Interlaced and telecined clips are found where they are and nowhere else, and film comes back as it was."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from media.clips import make_clip
from media.reading.test_deinterlacing import INTERLACED
from venhancer.enhance import plan_video
from venhancer.errors import SettingsError
from venhancer.media.reading.decoder import FrameDecoder
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader
from venhancer.media.reading.shots import look_through
from venhancer.model_files.traits import load_traits
from venhancer.plan import make_plan
from venhancer.reports.plan_rows import describe_plan
from venhancer.settings import parse_settings

WIDTH, HEIGHT, LENGTH = 192, 128, 40
Pictures = list[np.ndarray]


def moment(time: float) -> np.ndarray:
    """Return a picture of boxes and soft blobs that move, over a slope."""
    places = np.random.default_rng(0).random((8, 2)) * (WIDTH, HEIGHT)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    light = 0.1 * np.sin(x / 9 + y / 14)
    for number, (left, top) in enumerate(places):
        across = (left + 3 * time * (1 + number % 3)) % WIDTH
        light += (np.abs(x - across) < 10) * (np.abs(y - top) < 14) * 0.5
        light += 0.3 * np.exp(-((x - across) ** 2 + (y - top) ** 2) / 300)
    return np.repeat((40 + 170 * np.clip(light, 0, 1))[..., None], 3, axis=2).astype(np.uint8)


def woven(moments: Sequence[float], first: int = 0) -> Pictures:
    """Return a frame for every two moments; `first` is 1 if odd lines are the earlier ones."""
    pictures = []
    for even, odd in zip(moments[::2], moments[1::2], strict=True):
        picture = moment(even)
        picture[1 - first :: 2] = moment(odd)[1 - first :: 2]
        pictures.append(picture)
    return pictures


def whole(speed: float = 2.0) -> Pictures:
    return [moment(speed * number) for number in range(LENGTH)]


def film() -> Pictures:
    """Return the fields of film at 24 frames a second in 60 fields a second: two of a frame, three of the next."""
    return woven([2.5 * number for number in range(LENGTH) for _ in range(2 + number % 2)][: 2 * LENGTH])


def lined() -> Pictures:
    """Return whole frames of something with fine stripes that moves up, which looks like combing."""
    return [np.where(np.roll(np.arange(HEIGHT), -n)[:, None, None] % 4 < 2, moment(2 * n), 60) for n in range(LENGTH)]


CASES: dict[str, tuple[Callable[[], Pictures], bool, str]] = {
    "whole": (whole, False, ""),
    "whole and slow": (lambda: whole(0.2), False, ""),
    "whole, with fine stripes": (lined, False, ""),
    "standing still": (lambda: [moment(0)] * LENGTH, False, ""),
    "interlaced": (lambda: woven(range(2 * LENGTH)), True, "is rebuilt from its two fields"),
    "interlaced, unmarked": (lambda: woven(range(2 * LENGTH)), False, "unmarked: pass --deinterlace all"),
    "interlaced, odd lines first": (lambda: woven(range(2 * LENGTH), 1), False, "unmarked: pass --deinterlace all"),
    "whole, marked as interlaced": (whole, True, "pass --deinterlace none"),
    "telecine": (film, True, "pass --deinterlace film --drop-duplicates --fps 24 "),
    "telecine, unmarked": (film, False, "pass --deinterlace film --drop-duplicates --fps 24 "),
}
"""Clips of known truth: pictures, whether they are marked as interlaced, and what the plan must say; empty: nothing."""


@pytest.mark.parametrize("crf", ["8", "28"])
@pytest.mark.parametrize("case", CASES)
def test_ten_cases_of_known_truth(tmp_path, case, crf):
    make, is_marked, told = CASES[case]
    options = {"crf": crf} | (INTERLACED if is_marked else {})
    path = make_clip(tmp_path / "in.mp4", width=WIDTH, height=HEIGHT, rate=30, pictures=make(), options=options)
    clip = probe(path)
    plan = make_plan(clip, parse_settings(scale=1), load_traits("nano"), fields=look_through(clip).fields)
    rows = dict(describe_plan(plan))
    assert told in rows.get("interlacing", "")
    assert ("interlacing" in rows) == bool(told)


@pytest.mark.parametrize("options", [{}, INTERLACED])
def test_telecine_becomes_the_film_again(tmp_path, options):
    path = make_clip(
        tmp_path / "in.mp4", width=WIDTH, height=HEIGHT, rate=30, pictures=film(), options={"crf": "8"} | options
    )
    plan = plan_video(path, parse_settings(scale=1, fps=24, deinterlace="film", drop_duplicates=True))
    assert plan.frames == LENGTH * 4 / 5
    assert (plan.cadence.period, plan.fields.is_film) == (5, False)
    frames_of_film = [moment(2.5 * number) for number in range(plan.frames)]
    with FrameReader(plan.clip, keep=2) as reader:
        for number, frame in enumerate(reader.read(plan.source)):
            errors = [np.abs(frame.astype(float) - one).mean() for one in frames_of_film]
            assert int(np.argmin(errors)) == number
            assert min(errors) < 2


def test_film_is_gathered_the_same_wherever_reading_begins(tmp_path):
    path = make_clip(
        tmp_path / "in.mp4", width=WIDTH, height=HEIGHT, rate=30, pictures=film(), options={"g": "5", "bf": "0"}
    )
    clip = make_plan(probe(path), parse_settings(deinterlace="film"), load_traits("nano")).clip
    decoder = FrameDecoder(clip)
    frames = [decoder.frame(number).to_ndarray() for number in range(LENGTH)]
    decoder.close()
    for start in (1, 4, 6, 7, 13, LENGTH - 1):
        other = FrameDecoder(clip)
        assert np.array_equal(other.frame(start).to_ndarray(), frames[start])
        other.close()


def test_unmarked_frames_are_rebuilt_on_demand_and_marked_ones_left(tmp_path):
    pictures, size = woven(range(2 * LENGTH)), {"width": WIDTH, "height": HEIGHT}
    for options, how, is_rebuilt in (({}, "all", True), (INTERLACED, "none", False)):
        path = make_clip(tmp_path / f"{how}.mp4", pictures=pictures, options={"crf": "4"} | options, **size)
        plan = plan_video(path, parse_settings(scale=1, deinterlace=how))
        with FrameReader(plan.clip, keep=2) as reader:
            frames = [frame.astype(float) for frame in reader.read(range(5, 10))]
        off = [np.abs(frame - pictures[number]).mean() for number, frame in enumerate(frames, start=5)]
        assert all((error > 2) == is_rebuilt for error in off)
        assert look_through(plan.clip).fields.moving == 0  # nobody asks


def test_what_cannot_be_is_refused(tmp_path):
    deep = make_clip(tmp_path / "deep.mp4", codec="libx265", pixel_format="yuv420p10le")
    with pytest.raises(SettingsError, match="deinterlace film takes yuv420p"):
        plan_video(deep, parse_settings(deinterlace="film"))
    with pytest.raises(SettingsError, match="needs a video file"):
        plan_video(make_still(tmp_path / "a.png"), parse_settings(deinterlace="all"))


def make_still(path):
    from PIL import Image

    Image.fromarray(moment(0)).save(path)
    return path
