"""Who may call: nobody else's page, nobody without the word, and nobody at all from elsewhere unless it was meant."""

import base64
import json

import pytest

from venhancer.errors import SettingsError

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from venhancer.serving.runner import Runner
from venhancer.serving.store import JobStore
from venhancer.web.guard import Access, choose_access
from venhancer.web.server import address_of, check_address, new_app


@pytest.fixture
def runner(tmp_path) -> Runner:
    return Runner(JobStore(tmp_path / "jobs"), ())


def client(runner: Runner, access: Access, host: str = "127.0.0.1:7860") -> TestClient:
    app = new_app(runner, access, most_bytes=1000)
    app.add_api_route("/word", lambda: "hello")
    return TestClient(app, base_url=f"http://{host}")


def basic(login: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def test_another_host_is_refused_without_a_login_and_loopback_is_not():
    assert choose_access("127.0.0.1").is_open
    assert choose_access("::1").is_open
    assert choose_access("localhost").hosts
    assert choose_access("0.0.0.0", login="me:word").hosts is None
    assert choose_access("192.168.1.5", token="word").hosts is None
    for host in ("0.0.0.0", "192.168.1.5", "example.org", "::"):
        with pytest.raises(SettingsError, match=r"can be reached by others; pass --auth NAME:PASSWORD"):
            choose_access(host)
    for login in ("me", "me:", ":word"):
        with pytest.raises(SettingsError, match="takes a name and a password"):
            choose_access("127.0.0.1", login=login)


def test_names_that_lead_here_from_elsewhere_are_refused(runner):
    """A page elsewhere can have its own name point to 127.0.0.1."""
    access = choose_access("127.0.0.1")
    assert client(runner, access).get("/word").status_code == 200
    for host in ("evil.example", "evil.example:7860", "127.0.0.1.evil.example", "[::2]"):
        assert client(runner, access, host).get("/word").status_code == 421


def test_other_pages_cannot_call(runner):
    one = client(runner, choose_access("127.0.0.1"))
    for origin in ("http://evil.example", "null", "http://127.0.0.1:8000"):
        assert one.get("/word", headers={"Origin": origin}).status_code == 403
    assert one.get("/word", headers={"Origin": "http://127.0.0.1:7860"}).status_code == 200


def test_logins_and_tokens(runner):
    one = client(runner, Access(login="me:wörd", token="secret"))
    assert one.get("/word").status_code == 401
    assert one.get("/word", headers=basic("me:wörd")).json() == "hello"
    assert one.get("/word", headers={"Authorization": "bearer secret"}).json() == "hello"
    for wrong in (basic("me:word"), {"Authorization": "Basic %%%"}, {"Authorization": "Bearer secre"}, basic("secret")):
        assert one.get("/word", headers=wrong).status_code == 401
    assert one.get("/health").status_code == 404  # open to all, but not of this server
    assert client(runner, Access(token="secret")).get("/word").headers["WWW-Authenticate"].startswith("Bearer")


def test_long_requests_are_refused_and_pages_fetch_nothing_from_elsewhere(runner):
    one = client(runner, choose_access("127.0.0.1"))
    assert one.post("/word", content=b"x" * 1001).status_code == 413
    assert "default-src 'self'" in one.get("/word").headers["Content-Security-Policy"]
    assert "http" not in one.get("/word").headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["job.json", "lock", "source.mp4", "..%2f..%2fsecret", "%2e%2e", "result%2f.."])
def test_only_a_few_files_of_a_job_are_handed_out(runner, tmp_path, name):
    from venhancer.settings import parse_settings

    (tmp_path / "in.mp4").write_bytes(b"x")
    job = runner.store.add(tmp_path / "in.mp4", parse_settings(), name="in.mp4")
    (runner.store.folder / job.id / "stills.jpg").write_bytes(b"picture")
    (runner.store.folder / job.id / "source.mp4").write_bytes(b"secret")
    one = client(runner, choose_access("127.0.0.1"))
    assert one.get(f"/jobs/{job.id}/stills.jpg").content == b"picture"
    answer = one.get(f"/jobs/{job.id}/{name}")
    assert answer.status_code in (404, 405)
    assert b"secret" not in answer.content
    assert one.get(f"/jobs/{job.id}/result").status_code == 409


def test_a_report_is_handed_out_without_the_paths_of_the_server(runner, tmp_path):
    from venhancer.settings import parse_settings

    upload = runner.store.folder / "uploads" / "in.mp4"
    upload.write_bytes(b"x")
    job = runner.store.add(upload, parse_settings(), name='a "clip".mp4')
    one = client(runner, choose_access("127.0.0.1"))
    assert one.get(f"/jobs/{job.id}/report.json").status_code == 409
    told = {"plan": {"source": str(runner.store.source(job)), "frames": 4}, "files": [str(runner.store.target(job))]}
    (runner.store.folder / job.id / "report.json").write_text(json.dumps(told))
    answer = one.get(f"/jobs/{job.id}/report.json")
    assert answer.json() == {
        "plan": {"source": 'a "clip".mp4', "frames": 4},
        "files": [f"result/{runner.store.target(job).name}"],
    }
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_addresses():
    assert address_of("0.0.0.0", 80) == "http://127.0.0.1:80/"
    assert address_of("::1", 80) == "http://[::1]:80/"
    with pytest.raises(SettingsError, match="cannot be listened at"):
        check_address("192.0.2.1", 7860)
