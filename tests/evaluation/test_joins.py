"""Where plans join their outputs, and the measure at those places."""

from fractions import Fraction

import numpy as np
import pytest

from venhancer.errors import InputError
from venhancer.evaluation.joins import find_joins, measure_joins
from venhancer.evaluation.seams import measure_profiles
from venhancer.media.clip import describe_frames
from venhancer.model_files.traits import load_traits
from venhancer.plan import EnhancePlan, make_plan
from venhancer.settings import parse_settings


def planned(frames: int = 60, *, cuts: tuple[int, ...] = (), **settings: object) -> EnhancePlan:
    asked = parse_settings(scale=2, fps=8, window_frames=10, window_overlap=4, **settings)
    return make_plan(describe_frames(frames, 72, 128, Fraction(8)), asked, load_traits("nano"), cuts=cuts)


def test_windows_and_segments_of_a_plan_are_found():
    plan = planned()
    joins = find_joins(plan.to_json())
    assert len(plan.segments) > 1
    assert not joins.windows & joins.segments
    for earlier, later in zip(plan.segments, plan.segments[1:], strict=False):
        assert later.context.start + 1 in joins.segments
        assert earlier.context.stop in joins.segments
    inner = plan.segments[0].windows
    assert {inner[1].start + 1, inner[0].stop} <= joins.windows
    assert [*joins.parts] == [segment.frames for segment in plan.segments]
    assert not joins.columns
    assert not joins.cuts


def test_shots_do_not_join():
    joins = find_joins(planned(cuts=(20,)).to_json())
    assert joins.cuts == {20}
    assert 20 not in joins.windows | joins.segments


def test_tiles_join_in_pixels_of_the_output():
    plan = planned(8, tile=(128, 80))
    unit, padding = plan.traits.pixels_per_latent, plan.padding
    joins = find_joins(plan.to_json())
    first, second = sorted({tile.columns.start: tile.columns for tile in plan.tiles}.values(), key=lambda r: r.start)[
        :2
    ]
    assert min(joins.columns) == second.start * unit - padding.left + 1
    assert first.stop * unit - padding.left in joins.columns
    assert joins.rows
    assert max(joins.rows) < plan.height


def test_a_step_at_every_join_is_told_by_kind():
    plan = planned(tile=(128, 80))
    joins = find_joins(plan.to_json())
    rng = np.random.default_rng(0)
    texture = rng.integers(60, 190, (18, 32, 3)).repeat(8, axis=0).repeat(8, axis=1)
    film = np.repeat(texture[None].astype(np.uint8), 60, axis=0)
    film += rng.integers(0, 3, film.shape, dtype=np.uint8)
    steps = [segment.context.start + 2 for segment in plan.segments[1:]]
    parts = np.searchsorted(steps, range(60), side="right") % 2
    seamed = film + 4 * parts[:, None, None, None].astype(np.uint8)
    found = measure_joins(measure_profiles(seamed, film), joins)
    assert set(found) == {"windows", "segments", "columns of tiles", "rows of tiles"}
    assert found["segments"]["change"].ratio > 1.1
    assert found["windows"]["change"].ratio == pytest.approx(1, abs=0.02)
    assert found["columns of tiles"]["gradient"].ratio == pytest.approx(1, abs=0.01)


def test_another_file_is_refused():
    with pytest.raises(InputError, match="this is not a plan"):
        find_joins({"segments": [{}]})
