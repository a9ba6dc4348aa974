"""What jobs leave on the disk, and which files of the server can be named from outside."""

import doctest
import os

import pytest

from media.clips import make_clip
from venhancer.errors import InputError
from venhancer.serving import outlook, record
from venhancer.serving.outlook import estimate_time, plan_roughly
from venhancer.serving.record import plain_stem, read_record
from venhancer.serving.store import JobStore
from venhancer.settings import parse_settings


@pytest.fixture
def store(tmp_path) -> JobStore:
    (tmp_path / "inputs" / "deep").mkdir(parents=True)
    make_clip(tmp_path / "inputs" / "deep" / "in.mp4", width=32, height=24, rate=8, frames=3)
    return JobStore(tmp_path / "jobs", inputs=tmp_path / "inputs")


def added(store: JobStore, **settings: object):
    source = store.inputs / "deep" / "in.mp4"
    return store.add(source, parse_settings(**settings), name="deep/in.mp4")


def test_examples():
    for module in (record, outlook):
        assert doctest.testmod(module).failed == 0


def test_a_job_reads_back_as_it_was_written_and_keeps_only_what_was_given(store):
    job = added(store, scale=2, size=None, fps="30000/1001", start="1:30", tile="64x32", model="nano")
    assert store.find(job.id) == job == read_record(store.folder / job.id)
    assert job.request == parse_settings(scale=2, fps="30000/1001", start=90, tile=(64, 32))
    assert sorted(job.settings) == ["fps", "model", "scale", "size", "start", "tile"]
    assert store.target(job).name == "in_enhanced.mp4"


def test_jobs_are_listed_in_the_order_they_came_and_strange_folders_passed_over(store):
    jobs = [added(store) for _ in range(3)]
    (store.folder / "elsewhere").mkdir()
    (store.folder / ("0" * 28)).mkdir()
    broken = store.folder / ("1" * 28)
    broken.mkdir()
    (broken / "job.json").write_text('{"id": 3}')
    assert store.records() == sorted(jobs, key=lambda job: job.id)
    store.remove(jobs[0])
    assert len(store.records()) == 2
    with pytest.raises(InputError, match=r"job .* is unknown"):
        store.find(jobs[0].id)


@pytest.mark.parametrize(
    "name", ["../secret.mp4", "/etc/passwd", "link.mp4", "deep", "", "deep/../../secret.mp4", "a\0b"]
)
def test_no_name_leads_out_of_the_folder_of_inputs(store, tmp_path, name):
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (store.inputs / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    with pytest.raises(InputError, match=r"file .* is not in the input folder"):
        store.chosen(name)
    assert store.chosen("deep/in.mp4").name == "in.mp4"
    assert "deep/in.mp4" in store.choices()


@pytest.mark.parametrize("identity", ["../jobs", "", "0" * 27, "x" * 28, "lock", "uploads"])
def test_no_identity_leads_elsewhere(store, identity):
    with pytest.raises(InputError, match=r"job .* is unknown"):
        store.find(identity)


def test_uploads_are_taken_over_and_other_sources_left_where_they_are(store):
    upload = store.folder / "uploads" / "in.MP4"
    upload.write_bytes((store.inputs / "deep" / "in.mp4").read_bytes())
    job = store.add(upload, parse_settings(), name="my clip.MP4")
    upload.unlink()
    assert job.source == "source.mp4"
    assert store.source(job).stat().st_size > 0
    assert store.source(added(store)) == store.inputs / "deep" / "in.mp4"


def test_names_of_uploads_become_plain():
    hostile = "..\\..\\con\x1b[31m<script>alert(1)</script>\n" + "x" * 300 + ".mp4"
    assert plain_stem(hostile).startswith("script")
    assert len(plain_stem(hostile)) <= 60
    assert plain_stem("...") == "video"
    assert plain_stem("Ünï cödé.mov") == "Ünï_cödé"


def test_lines_lose_the_paths_of_the_server(store):
    job = added(store)
    line = f"{store.source(job)} is bad; {store.target(job)}.part is kept in {store.folder / job.id}"
    plain = store.plain(line, job)
    assert os.fspath(store.folder) not in plain
    assert plain == "deep/in.mp4 is bad; the job is kept in the job"


def test_two_servers_cannot_share_a_folder(store):
    with store.alone(), pytest.raises(InputError, match="another server works on"), JobStore(store.folder).alone():
        pass


def test_time_is_told_by_the_last_job_of_the_same_model(store):
    plan = plan_roughly(store.inputs / "deep" / "in.mp4", parse_settings(scale=2), outlook.Machine())
    assert estimate_time(plan, store).startswith("not known")
    job = added(store, scale=2)
    store.note(job, state="finished", seconds=10.0, pixels=3 * 64 * 48 // 2)
    assert estimate_time(plan, store) == "about 20 s, going by the last job of nano"
    other = plan_roughly(store.inputs / "deep" / "in.mp4", parse_settings(scale=2, steps=3), outlook.Machine())
    assert estimate_time(other, store).startswith("not known")
