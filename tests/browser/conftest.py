"""A server of its own and a real browser: Debian's chromium, driven by Playwright."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from browser.actions import choose, jobs_of, run, wait_for_job
from media.clips import make_clip

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
PATIENCE = 180_000  # milliseconds until a test gives up; none of them should come near


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`venhancer ui` in a process of its own, which can be killed and started again."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model, self.port = folder, model, free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["ui", "--no-browser", "--port", str(self.port), "--folder", "jobs", "--inputs", "inputs"]
        words += ["--models", str(self.model), "--device", "cpu", "--dtype", "fp32"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "venhancer", *words],
                cwd=self.folder,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + PATIENCE / 1000
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory, tiny_model) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "inputs").mkdir()
    make_clip(folder / "inputs" / "meadow.mp4", width=64, height=48, rate=8, frames=8, sound="aac")
    make_clip(folder / "inputs" / "numbers.mp4", width=64, height=48, rate=8, frames=8)
    make_clip(folder / "inputs" / "long.mp4", width=32, height=24, rate=12, frames=200)
    one = Server(folder, tiny_model)
    one.start()
    yield one
    one.kill()


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip("there is no chromium; install it, or name one in CHROMIUM")
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@contextmanager
def open_page(browser, server, *, width: int = 1440, height: int = 1000, theme: str = "light"):
    """A tab of the page, which fails the test if anything is fetched from elsewhere or a script fails."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    fetched, failures = [], []
    context.on("requestfinished", lambda request: fetched.append(request.url))
    tab.on("pageerror", lambda error: failures.append(str(error)))
    tab.goto(server.address)
    tab.get_by_role("radiogroup", name="Size").wait_for()
    tab.locator("#progress :is(.ve-job, .ve-notice)").wait_for()
    try:
        yield tab
    finally:
        context.close()
    assert [url for url in fetched if not url.startswith((server.address, "data:", "blob:"))] == []
    assert failures == []


@pytest.fixture
def page(browser, server):
    with open_page(browser, server) as tab:
        yield tab


@pytest.fixture(scope="session")
def finished(browser, server) -> dict:
    """The record of a finished job: a clip whose pictures tell their numbers, twice as large, at thrice its rate."""
    with open_page(browser, server) as tab:
        choose(tab, "chosen", "numbers.mp4")
        tab.locator("#size").get_by_label("2x").check()
        tab.locator("#rate").get_by_label("24").check()
        tab.locator("#plan").get_by_text("128x96, 24 fps, 24 frames").wait_for()
        run(tab)
        wait_for_job(tab, "numbers.mp4: finished")
    return jobs_of(server)[-1]
