"""Whatever a file says or is called, no other file, address or device is opened for it.

Every case below names a canary: a real clip beside it, or an address on a real server. A case fails if its canary is
reached, which `test_canaries_would_be_reached` shows to be possible where nothing is closed.
"""

import ast
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import Thread

import av
import pytest
from PIL import Image

import venhancer
from media.clips import make_clip
from media.elsewhere import PLAYLISTS, linked_elsewhere, reference_elsewhere
from venhancer.errors import InputError
from venhancer.media.reading.isolation import inspect
from venhancer.media.reading.probe import probe
from venhancer.media.source import open_bytes, open_picture, open_source, video_stream

DISGUISES = ("{}.mp4", "{}.mkv", "{}.avi", "{}.ts", "{}.gif", "{}.png", "{}")


class Listener:
    """A server on a loopback port that answers nothing and remembers who called."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.calls: list[bytes] = []
        self.thread = Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        while True:
            try:
                caller, _ = self.socket.accept()
            except OSError:
                return
            with caller:
                caller.settimeout(0.2)
                try:
                    self.calls.append(caller.recv(100))
                except OSError:
                    self.calls.append(b"")

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def canary(tmp_path) -> Path:
    (tmp_path / "secret").mkdir()
    return make_clip(tmp_path / "secret" / "canary.ts", frames=4, codec="mpeg2video")


@contextmanager
def nothing_reached(canary: Path, server: Listener) -> Iterator[None]:
    """Fail if the block reads the canary or calls the server."""
    os.utime(canary, ns=(0, canary.stat().st_mtime_ns))
    yield
    assert canary.stat().st_atime_ns == 0, "the canary was read"
    assert server.calls == []


def targets(canary: Path, server: Listener) -> list[str]:
    schemes = ("http", "https", "rtsp", "rtmp", "tcp", "ftp", "gopher", "srtp", "hls+http")
    return [
        str(canary),
        f"file:{canary}",
        "secret/canary.ts",
        *(f"{s}://127.0.0.1:{server.port}/a.ts" for s in schemes),
    ]


def refused(path: Path, look: Callable[[Path], object] = probe) -> None:
    with pytest.raises(InputError) as error:
        look(path)
    assert "\n" not in str(error.value).replace(str(path), "")


def look_as_picture(path: Path) -> None:
    with open_picture(path) as picture:
        picture.load()


def test_canaries_would_be_reached(canary, server, tmp_path):
    (tmp_path / "list.m3u8").write_text(PLAYLISTS["hls"](str(canary)))
    os.utime(canary, ns=(0, canary.stat().st_mtime_ns))
    with av.open(str(tmp_path / "list.m3u8")) as container:
        assert len(container.streams.video) == 1
    assert canary.stat().st_atime_ns > 0
    with pytest.raises((OSError, av.FFmpegError)):
        av.open(f"http://127.0.0.1:{server.port}/a.mp4")
    assert server.calls[0].startswith(b"GET /a.mp4")


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlist_under_any_name_reaches_nothing(canary, server, tmp_path, kind):
    with nothing_reached(canary, server):
        for number, target in enumerate(targets(canary, server)):
            for name in (*DISGUISES, "{}.m3u8", "{}.mpd", "{}.sdp", "{}.ffconcat"):
                path = tmp_path / name.format(f"{kind}{number}")
                path.write_text(PLAYLISTS[kind](target))
                refused(path)
                refused(path, look_as_picture)


def test_playlist_reaches_nothing_from_the_child_that_looks_first(canary, server, tmp_path):
    path = tmp_path / "list.mp4"
    with nothing_reached(canary, server):
        path.write_text(PLAYLISTS["hls"](f"http://127.0.0.1:{server.port}/a.ts"))
        refused(path, inspect)
        path.write_text(PLAYLISTS["ffconcat"](str(canary)))
        refused(path, inspect)


@pytest.mark.parametrize(
    "name",
    [
        "concat:{canary}|{canary}",
        "concatf:{canary}",
        "file:{canary}",
        "subfile,,start,0,end,0,,:{canary}",
        "crypto:{canary}",
        "cache:{canary}",
        "async:{canary}",
        "data:video/mp2t;base64,AAAA",
        "pipe:0",
        "fd:0",
        "http://127.0.0.1:{port}/a.mp4",
        "https://127.0.0.1:{port}/a.mp4",
        "rtsp://127.0.0.1:{port}/a",
        "rtmp://127.0.0.1:{port}/a",
        "tcp://127.0.0.1:{port}",
        "udp://127.0.0.1:{port}",
        "unix:/tmp/a",
        "testsrc",
        "lavfi:testsrc",
        "movie={canary}",
        "/dev/video0",
        "/dev/null",
        "/dev/zero",
        ":0.0",
        "{folder}/%d.mp4",
        "{folder}/%s.png",
        "{folder}/secret/canary.*",
    ],
)
def test_name_is_a_name_and_nothing_else(canary, server, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{number}.png")
    with nothing_reached(canary, server):
        path = Path(name.format(canary=canary, port=server.port, folder=tmp_path))
        for look in (probe, inspect, look_as_picture):
            with pytest.raises(InputError):
                look(path)


def test_file_with_such_a_name_is_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http:x.mp4", "concat:a|b.mp4", "lavfi.mp4", "%d.mp4", "pipe:0.mp4", "data:.mp4", "-i.mp4", "[a].mp4"):
        make_clip(tmp_path / name, frames=3)
        assert inspect(Path(name)).frames == 3


def test_mov_that_keeps_its_data_elsewhere_reaches_nothing(canary, server, tmp_path):
    """`dref` entries of all three kinds of reference, with the sample table left as it is."""
    for number, target in enumerate(targets(canary, server)):
        for kind in (b"url ", b"urn ", b"alis"):
            path = make_clip(tmp_path / f"{number}.mov", frames=3)
            content = reference_elsewhere(path.read_bytes(), kind, target)
            path.write_bytes(content)
            assert target.encode() in content
            with nothing_reached(canary, server), open_source(path) as container:
                for packet in container.demux(video_stream(container, path)):
                    packet.decode()


def test_matroska_that_goes_on_elsewhere_reaches_nothing(canary, server, tmp_path):
    path = make_clip(tmp_path / "a.mkv", frames=3)
    path.write_bytes(linked_elsewhere(path.read_bytes(), str(canary)))
    with nothing_reached(canary, server):
        assert probe(path).frames == 3


def test_bytes_in_an_archive_reach_nothing(canary, server):
    with nothing_reached(canary, server):
        for kind, make in PLAYLISTS.items():
            with pytest.raises(InputError, match=kind):
                open_bytes(BytesIO(make(str(canary)).encode()), Path(kind))


def test_nothing_else_in_the_package_opens_files_of_users():
    """Opening a file for libav, Pillow or OpenCV happens in `media/source.py`; elsewhere it is for writing."""
    root = Path(venhancer.__file__).parent
    found = {}
    for file in root.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            is_writing = len(call.args) > 1 and ast.unparse(call.args[1]) == "'w'"
            if name in OPENERS and not is_writing:
                found.setdefault(str(file.relative_to(root)), []).append(name)
    assert found.pop("media/source.py") == ["av.open", "Image.open"]
    assert {file: names for file, names in found.items() if names != WRITTEN_BY_ITSELF.get(file)} == {}


WRITTEN_BY_ITSELF = {
    "training/data/damage.py": ["Image.open"],
    "media/writing/assemble.py": ["av.open"],
    "media/writing/pictures_out.py": ["av.open"],
}
OPENERS = {
    "av.open", "av.container.open", "Image.open", "open_image", "cv2.imread", "cv2.imreadmulti", "cv2.imdecode",
    "cv2.imdecodemulti", "cv2.imdecodeanimation", "cv2.imreadanimation", "cv2.VideoCapture", "imageio.imread",
    "ImageFile.Parser",
}  # fmt: skip


def test_formats_that_are_not_listed_stay_closed(tmp_path):
    """Formats of libav whose files are real ones, only not on the list."""
    for suffix, codec in ((".nut", "mpeg4"), (".mxf", "mpeg2video"), (".ivf", "av1"), (".swf", "flv")):
        path = make_clip(tmp_path / f"a{suffix}", frames=2, codec=codec)
        path = path.rename(path.with_suffix(".mp4"))
        refused(path)


def test_codecs_that_nobody_films_with_stay_closed(tmp_path):
    refused(make_clip(tmp_path / "a.avi", frames=2, codec="cljr", pixel_format="yuv411p"))
    assert probe(make_clip(tmp_path / "b.avi", frames=2, codec="huffyuv", pixel_format="yuv422p")).frames == 2


def test_pictures_of_other_formats_stay_closed(tmp_path):
    for kind in ("ppm", "tga", "ico", "pdf", "eps", "sgi", "pcx", "im", "spider"):
        Image.new("RGB", (32, 32)).convert("L" if kind == "spider" else "RGB").save(tmp_path / "a", kind)
        refused((tmp_path / "a").rename(tmp_path / f"{kind}.png"), look_as_picture)


def test_folder_holding_modules_is_no_place_to_import_from(tmp_path):
    """The child must not run `av.py` or `numpy.py` that lies where the user stands."""
    make_clip(tmp_path / "a.mp4", frames=2)
    for name in ("av", "numpy", "json", "ctypes", "venhancer"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')\n")
    code = (
        "from pathlib import Path\nfrom venhancer.media.reading.isolation import inspect\n"
        "print(inspect(Path('a.mp4')).frames)"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("2\n", "")
    assert not (tmp_path / "imported").exists()
