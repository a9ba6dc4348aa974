"""Shots that several devices work on together."""

import pytest

from venhancer.planning.layout import Segment, shots_together


def segment(shot: range, context: range) -> Segment:
    return Segment(shot=shot, context=context, windows=(context,), carried=0, settled=context, frames=context)


def test_neighbouring_whole_shots_run_together():
    whole = [segment(range(n, n + 2), range(n, n + 2)) for n in (0, 2, 4, 14, 16)]
    long = [segment(range(6, 14), range(n, n + 4)) for n in (6, 10)]
    segments = [*whole[:3], *long, *whole[3:]]
    runs = [[one.context.start for one in run] for run in shots_together(segments, 2)]
    assert runs == [[0, 2], [4], [6], [10], [14, 16]]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_every_segment_runs_once_in_order(most):
    segments = [segment(range(n, n + 1), range(n, n + 1)) for n in range(7)]
    runs = list(shots_together(segments, most))
    assert [one for run in runs for one in run] == segments
    assert max(map(len, runs)) == most


def test_no_segment_is_no_run():
    assert not list(shots_together([], 3))
