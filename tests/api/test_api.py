"""The API: jobs in, jobs told, files out; refusals in one line; nothing that makes it fail."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from media.clips import make_clip
from venhancer.api.app import make_api
from venhancer.planning.memory import Machine
from venhancer.serving.record import REPORT, JobRecord
from venhancer.serving.runner import Runner
from venhancer.serving.store import UPLOADS, JobStore
from venhancer.settings import parse_settings
from venhancer.web.guard import Access, choose_access

MOST = 64 << 20
CLIENTS = 50


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_clip(folder / "in.mp4", width=32, height=24, rate=8, frames=4)
    return folder


@pytest.fixture
def runner(tmp_path, inputs) -> Runner:
    """A runner that works on nothing: what is queued stays so."""
    return Runner(JobStore(tmp_path / "jobs", inputs=inputs), (), most_waiting=60)


def app_of(runner: Runner, access: Access | None = None) -> FastAPI:
    return make_api(runner, access or choose_access("127.0.0.1"), most_bytes=MOST, machine=Machine())


@pytest.fixture
def client(runner) -> TestClient:
    return TestClient(app_of(runner), base_url="http://127.0.0.1:7860")


@contextmanager
def listening(app: FastAPI) -> Iterator[tuple[str, int]]:
    """A real server at a real address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join()


def finish(store: JobStore, identity: str, size: int = 5) -> JobRecord:
    """Make a job look finished."""
    record = store.note(store.find(identity), state="finished", frames=4, seconds=1.0)
    store.target(record).parent.mkdir(exist_ok=True)
    store.target(record).write_bytes(b"x" * size)
    (store.folder / identity / REPORT).write_text(json.dumps({"target": str(store.target(record))}))
    return record


def test_a_file_becomes_a_job_that_is_told_listed_and_removed(client, runner, inputs):
    with (inputs / "in.mp4").open("rb") as file:
        form = {"prompt": "a rabbit", "settings": '{"fps": 24, "scale": 2}'}
        answer = client.post("/v1/videos", files={"input_reference": ("my clip.mp4", file)}, data=form)
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert (job["object"], job["status"], job["progress"], job["input"]) == ("video", "queued", 0, "my clip.mp4")
    assert job["settings"] == {"fps": "24", "scale": 2.0, "prompt": "a rabbit"}
    assert runner.store.find(job["id"]).request == parse_settings(fps=24, scale=2, prompt="a rabbit")
    assert list((runner.store.folder / UPLOADS).iterdir()) == []
    other = client.post("/v1/video/upscales", data={"input": "in.mp4", "scale": "2", "ending": ".mkv"}).json()
    listed = client.get("/v1/videos").json()
    assert [one["id"] for one in listed["data"]] == [other["id"], job["id"]]
    page = client.get("/v1/videos", params={"limit": 1}).json()
    assert (page["has_more"], page["last_id"]) == (True, other["id"])
    rest = client.get("/v1/videos", params={"after": page["last_id"]}).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([job["id"]], False)
    assert client.get("/health").json() == {"status": "ok", "waiting": 2, "working": 0}
    assert client.post(f"/v1/videos/{job['id']}/pause").json()["status"] == "paused"
    assert client.post(f"/v1/videos/{job['id']}/resume").json()["status"] == "queued"
    assert client.post(f"/v1/videos/{job['id']}/cancel").json()["status"] == "cancelled"
    assert client.delete(f"/v1/videos/{job['id']}").json()["deleted"] is True
    assert client.get(f"/v1/videos/{job['id']}").status_code == 404
    assert not (runner.store.folder / job["id"]).exists()


def test_a_finished_job_has_its_content_and_a_report_without_paths(client, runner):
    identity = client.post("/v1/videos", data={"input": "in.mp4"}).json()["id"]
    assert client.get(f"/v1/videos/{identity}/content").status_code == 409
    assert client.get(f"/v1/videos/{identity}/report").status_code == 409
    finish(runner.store, identity)
    job = client.get(f"/v1/videos/{identity}").json()
    assert (job["status"], job["progress"], job["content"]) == ("completed", 100, f"/v1/videos/{identity}/content")
    answer = client.get(job["content"])
    assert answer.content == b"xxxxx"
    assert 'filename="in_enhanced.mp4"' in answer.headers["content-disposition"]
    assert client.get(job["content"], headers={"Range": "bytes=1-2"}).content == b"xx"
    assert str(runner.store.folder) not in client.get(f"/v1/videos/{identity}/report").text


def test_a_job_is_heard_of_until_it_is_over(client, runner):
    identity = client.post("/v1/videos", data={"input": "in.mp4"}).json()["id"]
    threading.Timer(0.7, lambda: finish(runner.store, identity)).start()
    with client.stream("GET", f"/v1/videos/{identity}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    assert [one["status"] for one in told] == ["queued", "completed"]


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({}, "give either a file or the name of one"),
        ({"input": "../in.mp4"}, "file '../in.mp4' is not in the input folder"),
        ({"input": "/etc/passwd"}, "file '/etc/passwd' is not in the input folder"),
        ({"input": "in.mp4", "settings": "[1]"}, "settings are not a JSON object"),
        ({"input": "in.mp4", "settings": "{"}, "settings are not valid JSON"),
        ({"input": "in.mp4", "settings": '{"scael": 2}'}, "did you mean scale?"),
        ({"input": "in.mp4", "settings": '{"scale": 12}'}, "scale 12 is above 8"),
        ({"input": "in.mp4", "settings": '{"fps": 240}'}, "makes 30 output frames per input frame"),
        ({"input": "in.mp4", "model": "/etc"}, "model '/etc' is not offered here; choose one of nano"),
        ({"input": "in.mp4", "ending": ".exe"}, "ending '.exe' is not supported"),
        ({"input": "in.mp4", "ending": ".webm", "settings": '{"codec": "h264"}'}, "cannot hold h264"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(client, runner, form, reason):
    answer = client.post("/v1/videos", data=form)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert reason in message
    assert str(runner.store.folder.parent) not in message
    assert runner.store.records() == []


def test_a_hostile_upload_is_refused_and_leaves_nothing(client, runner):
    content = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(range(256)) * 64
    answer = client.post("/v1/videos", files={"input_reference": ("../../x\x1b[31m.mp4", content)})
    assert answer.status_code == 400
    assert str(runner.store.folder) not in answer.text
    assert runner.store.records() == []
    assert list((runner.store.folder / UPLOADS).iterdir()) == []


def test_the_token_is_needed_but_for_the_health(runner):
    client = TestClient(app_of(runner, Access(token="secret")), base_url="http://10.0.0.1")
    assert client.get("/health").status_code == 200
    assert client.get("/v1/videos").status_code == 401
    assert client.get("/openapi.json").status_code == 401
    assert client.get("/v1/videos", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_fifty_clients_at_once_are_served_and_those_too_many_told(runner):
    with listening(app_of(runner)) as (host, port):

        def visit(number: int) -> list[int]:
            with httpx.Client(base_url=f"http://{host}:{port}", timeout=120) as client:
                made = client.post("/v1/videos", data={"input": "in.mp4", "settings": f'{{"seed": {number}}}'})
                seen = client.get(f"/v1/videos/{made.json()['id']}")
                gone = client.delete(f"/v1/videos/{made.json()['id']}") if number % 2 else seen
                return [made.status_code, seen.status_code, gone.status_code, client.get("/v1/videos").status_code]

        with ThreadPoolExecutor(CLIENTS) as pool:
            codes = list(pool.map(visit, range(CLIENTS)))
        assert codes == [[201, 200, 200, 200]] * CLIENTS
        assert len(runner.store.records()) == CLIENTS // 2
        runner.most_waiting = CLIENTS // 2
        late = httpx.post(f"http://{host}:{port}/v1/videos", data={"input": "in.mp4"}, timeout=120)
        assert late.status_code == 429
        assert "25 jobs are waiting" in late.json()["error"]["message"]


def test_an_upload_that_is_cut_in_the_middle_leaves_nothing(runner):
    head = (
        "POST /v1/videos HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 5000000\r\n\r\n--b\r\n"
        'Content-Disposition: form-data; name="input_reference"; filename="in.mp4"\r\n\r\n'
    )
    with listening(app_of(runner)) as (host, port):
        with socket.create_connection((host, port)) as connection:
            connection.sendall(head.format(host=host, port=port).encode() + b"x" * 2_000_000)
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=60) as client:
            assert client.get("/v1/videos").json()["data"] == []
            assert client.get("/health").json()["waiting"] == 0
    assert list((runner.store.folder / UPLOADS).iterdir()) == []


def test_slow_readers_keep_nobody_waiting(runner):
    identity = TestClient(app_of(runner), base_url="http://127.0.0.1").post("/v1/videos", data={"input": "in.mp4"})
    record = finish(runner.store, identity.json()["id"], size=32 << 20)
    with listening(app_of(runner)) as (host, port):
        request = f"GET /v1/videos/{record.id}/content HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        slow = [socket.create_connection((host, port)) for _ in range(CLIENTS)]
        for connection in slow:
            connection.sendall(request)
            assert connection.recv(16).startswith(b"HTTP/1.1 200")
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=60) as client:
            assert client.get(f"/v1/videos/{record.id}").status_code == 200
            assert len(client.get(f"/v1/videos/{record.id}/content").content) == 32 << 20
        for connection in slow:
            connection.close()


def test_chunked_uploads_that_are_too_long_are_cut_off(runner):
    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="input_reference"; filename="in.mp4"\r\n\r\n'
        for _ in range(80):
            yield b"x" * (1 << 20)

    with listening(app_of(runner)) as (host, port), httpx.Client(timeout=60) as client:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        try:
            answer = client.post(f"http://{host}:{port}/v1/videos", content=endless(), headers=headers)
            assert answer.status_code in (400, 413)
        except httpx.TransportError:
            pass  # the connection was closed while it still sent
        assert client.get(f"http://{host}:{port}/health").status_code == 200
    assert runner.store.records() == []
