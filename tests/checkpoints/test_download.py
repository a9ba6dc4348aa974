"""Downloads from a real server on this machine that answers as the hub does."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from stand_ins import write_inputs
from venhancer.checkpoints.download import AUTOENCODERS, CHECKPOINTS, TEXT_ENCODER, TOKENIZER, download
from venhancer.errors import WeightsError
from venhancer.model_files.folders import find_model

FILES = [CHECKPOINTS["v1"], AUTOENCODERS["v1"], TEXT_ENCODER, TOKENIZER]


class Hub(ThreadingHTTPServer):
    """Serves files below the addresses of the hub; can break off in the middle, refuse, or send wrong bytes."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = files
        self.break_off_after: int | None = None
        self.refused: set[str] = set()
        self.damaged: set[str] = set()
        self.ranges: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        content = self._content()
        if content is not None:
            self._begin(200, content, len(content))

    def do_GET(self) -> None:
        content = self._content()
        if content is None:
            return
        requested = self.headers.get("Range")
        self.server.ranges.append(requested)
        start = int(requested.removeprefix("bytes=").rstrip("-")) if requested else 0
        body = content[start:]
        if self.path in self.server.damaged:
            body = bytes(len(body))
        self._begin(206 if requested else 200, content, len(body), start)
        if self.server.break_off_after is None:
            self.wfile.write(body)
            return
        self.wfile.write(body[: self.server.break_off_after])
        self.close_connection = True

    def _content(self) -> bytes | None:
        if self.path in self.server.refused:
            self._refuse(403, "GatedRepo")
            return None
        if self.path not in self.server.files:
            self._refuse(404, "EntryNotFound")
            return None
        return self.server.files[self.path]

    def _refuse(self, status: int, reason: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", reason)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _begin(self, status: int, content: bytes, length: int, start: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.path.split("/")[4])
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def address_of(file) -> str:
    return f"/{file.repository}/resolve/{file.revision}/{file.path}"


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("published")
    inputs = write_inputs(folder, "v1", safetensors_only=True)
    paths = [inputs["checkpoint"], inputs["vae"], inputs["text"], folder / "merges.txt"]
    return {address_of(file): path.read_bytes() for file, path in zip(FILES, paths, strict=True)}


@pytest.fixture
def hub(contents: dict[str, bytes]) -> Iterator[Hub]:
    server = Hub(dict(contents))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Recorder:
    def __init__(self) -> None:
        self.stages: list[list] = []

    def start(self, total: int, what: str) -> None:
        self.stages.append([what, total, 0])

    def advance(self) -> None:
        self.stages[-1][2] += 1


def test_download_makes_a_model_folder(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recorder = Recorder()
    folder = download("v1", cache=tmp_path, endpoint=hub.address, progress=recorder)
    monkeypatch.setenv("VENHANCER_CACHE", str(tmp_path))
    assert find_model("v1") == folder == tmp_path / "v1"
    assert [what for what, _, _ in recorder.stages] == [
        "fetch venhancer_paper.pt",
        "fetch diffusion_pytorch_model.safetensors",
        "fetch open_clip_model.safetensors",
        "fetch merges.txt",
        "checksums",
        "convert",
    ]
    assert all(total == done for _, total, done in recorder.stages)
    recorded = json.loads((folder / "conversion.json").read_text())["inputs"]["checkpoint"]["sha256"]
    assert recorded == hashlib.sha256(hub.files[address_of(FILES[0])]).hexdigest()


def test_broken_connection_is_taken_up_again(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2**16)  # so that small files come in several pieces, too
    size = len(hub.files[address_of(FILES[0])])
    hub.break_off_after = size * 2 // 3
    hub.refused = {address_of(file) for file in FILES[1:]}
    with pytest.raises(WeightsError, match=r"diffusion_pytorch_model\.safetensors"):
        download("v1", cache=tmp_path, endpoint=hub.address)
    assert FILES[0].place(tmp_path / "sources").stat().st_size == size
    assert [requested is None for requested in hub.ranges] == [True, False]


def test_partial_file_of_an_earlier_run_is_gone_on_with(hub: Hub, tmp_path: Path):
    whole = hub.files[address_of(FILES[0])]
    place = FILES[0].place(tmp_path / "sources")
    place.parent.mkdir(parents=True)
    (place.parent / f".{place.name}.{hashlib.sha256(whole).hexdigest()}.partial").write_bytes(whole[:1_000_000])
    download("v1", cache=tmp_path, endpoint=hub.address)
    assert hub.ranges[0] == "bytes=1000000-"
    assert place.read_bytes() == whole


def test_damaged_download_is_refused_and_removed(hub: Hub, tmp_path: Path):
    hub.damaged = {address_of(FILES[0])}
    with pytest.raises(WeightsError, match="was damaged in transit and removed; run the command again") as caught:
        download("v1", cache=tmp_path, endpoint=hub.address)
    assert "\n" not in str(caught.value)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_gated_repository_says_how_to_get_in(hub: Hub, tmp_path: Path):
    hub.refused = {address_of(FILES[1])}
    with pytest.raises(WeightsError, match="accept its terms on its page and log in") as caught:
        download("v1", cache=tmp_path, endpoint=hub.address)
    assert "\n" not in str(caught.value)


def test_no_network_names_every_file_and_its_place(tmp_path: Path, hub: Hub):
    nobody = f"http://127.0.0.1:{hub.server_port}"
    hub.shutdown()
    hub.server_close()
    with pytest.raises(WeightsError, match="or put the files there by hand") as caught:
        download("v1", cache=tmp_path, endpoint=nobody)
    message = str(caught.value)
    assert "\n" not in message
    for file in FILES:
        assert f"{file.path} of {file.repository} as {file.place(tmp_path / 'sources')}" in message


def test_files_put_there_by_hand_need_no_network(hub: Hub, tmp_path: Path):
    for file in FILES:
        place = file.place(tmp_path / "sources")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(hub.files[address_of(file)])
    assert download("v1", cache=tmp_path, endpoint="http://127.0.0.1:9").is_dir()
    assert hub.ranges == []


def test_second_download_is_refused(tmp_path: Path):
    (tmp_path / "v2").mkdir()
    with pytest.raises(WeightsError, match=r"v2 is already in .*; remove that folder"):
        download("v2", cache=tmp_path)
