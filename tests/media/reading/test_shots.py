"""Cuts are found, and nothing else is taken for one."""

import numpy as np
import pytest

from venhancer.media.reading.shots import AROUND, find_cuts, measure_changes


def scene(number: int, frames: int, speed: float = 1.0, height: int = 54, width: int = 96) -> list[np.ndarray]:
    """Return frames of one place that a camera pans over."""
    generator = np.random.default_rng(number)
    wide = np.kron(generator.uniform(0, 255, (9, 60)), np.ones((6, 6)))
    level = generator.uniform(0.3, 1)
    return [(level * wide[:height, int(speed * n) : int(speed * n) + width]).astype(np.uint8) for n in range(frames)]


def cuts_of(pictures) -> list[int]:
    return list(find_cuts(measure_changes(pictures)))


@pytest.mark.parametrize("lengths", [(9, 20, 5), (1, 8), (30, 1), (3, 3, 3, 3)])
def test_every_cut_is_found_where_it_is(lengths):
    pictures = [frame for number, length in enumerate(lengths) for frame in scene(number, length)]
    edges = np.cumsum(lengths)[:-1].tolist()
    assert cuts_of(pictures) == edges


def test_a_pan_however_fast_is_no_cut():
    assert cuts_of(scene(0, 30, speed=6)) == []


def test_a_flash_is_no_cut():
    pictures = scene(0, 20)
    pictures[10] = np.full_like(pictures[10], 255)
    assert cuts_of(pictures) == []


def test_a_dissolve_is_not_found():
    """Known and said: neighbours differ too little."""
    before, after = scene(0, 40, speed=0)[0].astype(float), scene(1, 40, speed=0)[0].astype(float)
    mixed = [(before * (1 - share) + after * share).astype(np.uint8) for share in np.linspace(0, 1, 24)]
    assert cuts_of(mixed) == []


def test_cuts_are_told_while_frames_still_come():
    taken = []

    def pictures():
        for number, frame in enumerate([*scene(0, 10), *scene(1, 20)]):
            taken.append(number)
            yield frame

    assert next(find_cuts(measure_changes(pictures()))) == 10
    assert taken[-1] == 10 + AROUND


def test_nothing_and_a_single_frame_have_no_cut():
    assert cuts_of([]) == []
    assert cuts_of(scene(0, 1)) == []


def test_changes_are_those_of_the_formula():
    dark, light = np.full((4, 6), 10, np.uint8), np.full((4, 6), 40, np.uint8)
    changes = list(measure_changes([dark, light, light]))
    assert [change.brightness for change in changes] == [10, 40, 40]
    assert [change.change for change in changes] == [0, 30, 0]
    assert [change.change_over_two for change in changes] == [0, 30, 30]
    assert [change.moved for change in changes] == [0, 1, 0]
