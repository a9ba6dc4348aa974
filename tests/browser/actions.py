"""What people do on the page, and what they see of a job."""

import json
from pathlib import Path

ENHANCE = "Enhance"


def upload(page, path: Path) -> None:
    page.locator("#clip input[type=file]").set_input_files(str(path))


def choose(page, box: str, words: str) -> None:
    """Choose from a dropdown by its words."""
    page.locator(f"#{box} input").first.click()
    page.get_by_role("option", name=words).first.click()


def shown_job(page) -> str:
    return page.locator("#progress").inner_text()


def wait_for_job(page, words: str) -> None:
    page.locator("#progress .ve-job", has_text=words).wait_for()


def run(page) -> None:
    page.get_by_role("button", name=ENHANCE, exact=True).click()


def jobs_of(server) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((server.folder / "jobs").glob("*/job.json"))]


def wait_for_frame(page, number: int) -> None:
    """Wait until the comparison has drawn a frame."""
    page.wait_for_function(f"document.querySelector('.ve-compare')?.dataset.frame === '{number}'")


def show_result(page) -> None:
    """Choose the job of `finished`, and wait for its comparison."""
    choose(page, "job", "numbers.mp4 · finished")
    wait_for_job(page, "numbers.mp4: finished")
    page.locator(".ve-compare").wait_for()
    wait_for_frame(page, 0)
