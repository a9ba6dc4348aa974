"""Take the pictures of the page in `docs/images`: python docs/screenshots.py.

Needs chromium and Playwright. A server of its own enhances the clip in `examples`, and a browser looks at it at both
widths and in both themes.
"""

import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent
CLIP = HERE.parent / "examples" / "meadow_160x90_8fps.mp4"
QUALITY, PATIENCE = 72, 400_000
HEIGHTS = {1440: 1735, 390: 3200}
"""Of the pictures, by their width."""


def main() -> None:
    """Take all pictures."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as folder:
        words = ["ui", "--no-browser", "--port", str(port), "--folder", folder]
        server = subprocess.Popen([sys.executable, "-m", "venhancer", *words])
        try:
            wait_for_server(address)
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
                for number, (width, theme) in enumerate(
                    (width, theme) for width in (1440, 390) for theme in ("light", "dark")
                ):
                    take(browser, address, width, theme, is_first=number == 0)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def wait_for_server(address: str) -> None:
    """Return when the page answers."""
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
        else:
            return


def take(browser: Browser, address: str, width: int, theme: str, *, is_first: bool) -> None:
    """Fill the page in as a user would, and take its picture."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # pyright: ignore
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address)
    page.locator("#clip input[type=file]").set_input_files(str(CLIP))
    page.locator("#prompt textarea, #prompt input").first.fill("a rabbit in a meadow")
    page.locator("#rate").get_by_label("24").check()
    page.locator("#plan").get_by_text("640x360, 24 fps").wait_for()
    if is_first:
        page.get_by_role("button", name="Enhance", exact=True).click()
    page.locator("#progress .ve-job", has_text="finished").wait_for()
    page.locator(".ve-compare").wait_for()
    page.wait_for_function("document.querySelector('.ve-compare').dataset.frame !== undefined")
    page.evaluate("document.querySelectorAll('img[loading=lazy]').forEach(one => one.loading = 'eager')")
    page.wait_for_function("[...document.images].every(one => one.complete)")
    page.wait_for_timeout(800)
    place = HERE / "images" / f"page_{width}_{theme}.jpg"
    raw = place.with_suffix(".png")
    clip = {"x": 0, "y": 0, "width": width, "height": HEIGHTS[width]}
    page.screenshot(path=raw, full_page=True, clip=clip)  # pyright: ignore
    Image.open(raw).convert("RGB").save(place, quality=QUALITY, optimize=True)
    raw.unlink()
    context.close()


if __name__ == "__main__":
    main()
