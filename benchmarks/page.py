"""How long `venhancer ui` takes from the command to a page that can be used: cold, its files not in memory, and warm.

Needs chromium and Playwright. On a machine that does other work too, the server's seconds of processor time tell what a
quiet one would take.

Run: python benchmarks/page.py [--runs 5] [--output FILE]
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
from playwright.sync_api import Browser, sync_playwright

RESULTS = Path(__file__).parent / "results" / "page.json"
GOAL = 5.0  # seconds
EVERY = 0.01  # seconds between looks


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        forget_files(Path(sys.prefix))
        cold = start(browser)
        warm = [start(browser) for _ in range(given.runs)]
        browser.close()
    medians = {name: statistics.median(run[name] for run in warm) for name in cold}
    result = {"goal": GOAL, "load": os.getloadavg()[0], "cold": cold, "warm": warm, "warm_median": medians}
    given.output.write_text(json.dumps(result, indent=2) + "\n")
    print(f"cold {cold}, warm {medians} (median of {given.runs}); wrote {given.output}")


def forget_files(folder: Path) -> None:
    """Let the system drop what it holds of a folder's files, but for what running programs use."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def start(browser: Browser) -> dict[str, float]:
    """Return the seconds from the command to the page's answer and to its buttons, and those of processor time."""
    with socket.socket() as trial, tempfile.TemporaryDirectory() as folder:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
        trial.close()
        words = ["ui", "--no-browser", "--port", str(port), "--folder", folder]
        began = time.monotonic()
        with subprocess.Popen([sys.executable, "-m", "venhancer", *words], stdout=subprocess.DEVNULL) as server:
            try:
                while not answers(f"http://127.0.0.1:{port}/"):
                    assert server.poll() is None, "the server ended"
                    time.sleep(EVERY)
                answered, used = time.monotonic() - began, psutil.Process(server.pid).cpu_times()
                page = browser.new_page()
                page.goto(f"http://127.0.0.1:{port}/")
                page.get_by_role("button", name="Enhance", exact=True).wait_for()
                usable = time.monotonic() - began
                page.close()
                seconds = {"answer": answered, "usable": usable, "processor": used.user + used.system}
                return {name: round(value, 2) for name, value in seconds.items()}
            finally:
                server.terminate()


def answers(address: str) -> bool:
    """Tell whether the page is there."""
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status == 200 and b"venhancer" in answer.read()
    except (urllib.error.URLError, ConnectionError):
        return False


if __name__ == "__main__":
    main()
