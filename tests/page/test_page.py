"""The page's handlers, without a browser."""

import pytest

pytest.importorskip("gradio")

from media.clips import make_clip
from venhancer.page.page import Page
from venhancer.serving.runner import Runner
from venhancer.serving.store import JobStore
from venhancer.settings import parse_settings


def test_a_look_at_one_job_leaves_it_chosen_when_another_comes(tmp_path):
    store = JobStore(tmp_path / "jobs")
    source = make_clip(tmp_path / "in.mp4", frames=2)
    page = Page(Runner(store, ()), "cpu", "fp32")
    first = store.add(source, parse_settings(), name="in.mp4")
    chosen, seen, *_ = page._look(None, ())
    assert chosen.value == first.id
    second = store.add(source, parse_settings(), name="in.mp4")
    listed, *_ = page._look(first.id, seen)  # asked for before the second was chosen, answered after
    assert [identity for _, identity in listed.choices] == [second.id, first.id]
    assert "value" not in listed.constructor_args
