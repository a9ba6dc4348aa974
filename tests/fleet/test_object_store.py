"""A fleet whose clips and outputs lie in an object store: moto's S3 server, over HTTP on this machine."""

import json
import threading
import uuid
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fleet.object_store import serve
from fleet.runs import Memory, environment_of_hands, outputs, run_copies, setup_of
from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.fleet.status import read_status
from venhancer.fleet.stores import OWN, Store
from venhancer.fleet.worker import check_scratch

pytest.importorskip("s3fs")
pytestmark = pytest.mark.filterwarnings("ignore")  # of botocore and the server, in their own threads


@pytest.fixture(scope="module")
def server():
    with serve() as served:
        yield served


@pytest.fixture
def bucket(server, monkeypatch):
    _, environment = server
    for name, value in environment_of_hands(environment).items():
        monkeypatch.setenv(name, value)
    name = f"clips-{uuid.uuid4().hex[:8]}"
    Store("s3://").fs.mkdir(name)
    return f"s3://{name}"


def fill(bucket: str, count: int, **odd: int) -> dict[str, bytes]:
    store, words = Store(f"{bucket}/in"), {number: word for word, number in odd.items()}
    content = {f"{n:05d}.mp4": f"{words.get(n, 'clip')} {n} ".encode() * 50 for n in range(count)}
    for name, value in content.items():
        store.replace(name, value)
    return content


def visible(bucket: str) -> dict[str, bytes]:
    out = Store(f"{bucket}/out")
    return {name: out.read(name) for name in out.files() if OWN not in name and not name.endswith(".venhancer.json")}


def test_clips_go_from_bucket_to_bucket(bucket, tmp_path):
    content = fill(bucket, 6, broken=4)
    states = run_copies(f"{bucket}/in", f"{bucket}/out", scratch=str(tmp_path / "scratch"))
    assert states.pop("00004.mp4") == "quarantined"
    assert set(states.values()) == {"done"}
    del content["00004.mp4"]
    assert visible(bucket) == content
    out = Store(f"{bucket}/out")
    record = json.loads(out.read("00003.mp4.venhancer.json"))
    assert record["input"]["address"] == f"{bucket}/in/00003.mp4"
    assert record["input"]["sha256"] == record["output"]["sha256"]
    assert sorted({name.split("/")[1] for name in out.files(OWN)}) == ["job.json", "ledger", "logs"]
    assert list((tmp_path / "scratch").iterdir()) == []
    status = read_status(out)
    assert (status.counts["done"], status.counts["quarantined"]) == (5, 1)
    before = out.files()
    run_copies(f"{bucket}/in", f"{bucket}/out", scratch=str(tmp_path / "scratch"))
    assert out.files() == before


def test_a_store_that_refuses_for_a_while_costs_time_only(bucket, server, tmp_path):
    content = fill(bucket, 4)
    refusals, _ = server

    class Refusing(Memory):
        def tell(self, item, state, reason, facts) -> None:
            super().tell(item, state, reason, facts)
            if state == "running" and len(self.told) == 2:
                refusals.left = 12

    watcher = Refusing()
    states = run_copies(f"{bucket}/in", f"{bucket}/out", scratch=str(tmp_path), watcher=watcher)
    assert refusals.left == 0
    assert set(states.values()) == {"done"}
    assert visible(bucket) == content


def test_a_store_that_is_gone_ends_the_run_and_blames_no_clip(bucket, server, tmp_path):
    content = fill(bucket, 2)
    refusals, _ = server

    class Refusing(Memory):
        def begin(self, states) -> None:
            refusals.left = 1 << 62

    with pytest.raises(JobFailed, match="cannot be written"):
        run_copies(f"{bucket}/in", f"{bucket}/out", scratch=str(tmp_path), watcher=Refusing(), engine=impatient_engine)
    refusals.left = 0
    assert set(run_copies(f"{bucket}/in", f"{bucket}/out", scratch=str(tmp_path)).values()) == {"done"}
    assert visible(bucket) == content


def impatient_engine(setup):
    from fleet.milliseconds import Copying
    from venhancer.fleet.in_process import InProcessEngine
    from venhancer.progress import SILENT

    engine = InProcessEngine(setup, lambda: Copying(setup), stop=lambda: False, progress=SILENT)
    engine.worker.out.patience = 0.0
    return engine


def test_from_a_bucket_into_a_folder_here(bucket, tmp_path):
    content = fill(bucket, 3)
    assert set(run_copies(f"{bucket}/in/*.mp4", str(tmp_path / "out")).values()) == {"done"}
    assert outputs(tmp_path / "out") == content


def test_lines_name_clips_in_a_bucket_and_what_is_missing_there(bucket, tmp_path):
    fill(bucket, 2)
    lines = [{"input": f"{bucket}/in/{name}.mp4", "output": f"{bucket}/made/{name}.mkv"} for name in ("00000", "00001")]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    states = run_copies(str(tmp_path / "jobs.jsonl"), None, scratch=str(tmp_path / "scratch"))
    assert states == {"00000.mkv": "done", "00001.mkv": "done"}
    lines.append({"input": f"{bucket}/in/none.mp4", "output": f"{bucket}/made/none.mkv"})
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(InputError, match=r"line 3: s3://.*none.mp4 is not there"):
        run_copies(str(tmp_path / "jobs.jsonl"), None)


def test_outputs_in_a_store_need_scratch_here(bucket):
    with pytest.raises(SettingsError, match="is not a local folder; pass --scratch FOLDER"):
        check_scratch(setup_of(f"{bucket}/out"))


def test_clips_on_a_web_server_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment_of_hands()["PYTHONPATH"])
    (tmp_path / "a.mp4").write_bytes(b"clip a" * 9)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{http.server_port}"
        lines = [{"input": f"{address}/a.mp4"}]
        (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
        assert run_copies(str(tmp_path / "jobs.jsonl"), str(tmp_path / "out"), workers=1) == {"a.mp4": "done"}
        assert outputs(tmp_path / "out") == {"a.mp4": b"clip a" * 9}
        lines.append({"input": f"{address}/none.mp4"})
        (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
        with pytest.raises(InputError, match=r"line 2: http://.*/none.mp4 is not there"):
            run_copies(str(tmp_path / "jobs.jsonl"), str(tmp_path / "out"))
        http.shutdown()
        thread.join()
