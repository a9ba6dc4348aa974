"""What a finished job shows: two videos in step to the frame, stills with zoom, motion, seams and a report."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from browser.actions import choose, run, show_result, wait_for_frame, wait_for_job
from media.clips import number_of

pytestmark = pytest.mark.browser

BEFORE, AFTER = 1000, 0
"""Positions of the slider at which only one of the two is seen."""


def drawn(page) -> np.ndarray:
    """Return the picture of the comparison."""
    address = page.locator(".ve-compare canvas").evaluate("canvas => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


def wait_for_picture(page, number: int) -> None:
    """Wait until the picture tells a number: a browser says that it is there shortly before it is drawn."""
    for _ in range(100):
        if number_of(drawn(page)) == number:
            return
        page.wait_for_timeout(20)
    assert number_of(drawn(page)) == number


def split_at(page, position: int) -> None:
    page.locator(".ve-split").fill(str(position))


def test_both_sides_of_the_slider_are_the_frame_that_is_named(page, finished):
    show_result(page)
    number = page.locator(".ve-number")
    assert number.inner_text() == "frame 1 of 24"
    for frame in (3, 9, 12, 21, 0):
        page.locator(".ve-time").fill(str(frame))
        wait_for_frame(page, frame)
        for side in (BEFORE, AFTER):
            split_at(page, side)
            wait_for_picture(page, frame // 3)
        assert number.inner_text() == f"frame {frame + 1} of 24"
    page.locator(".ve-back").click()
    wait_for_frame(page, 23)
    page.locator(".ve-next").click()
    wait_for_frame(page, 0)


def test_a_pointer_moves_the_line_and_zoom_shows_a_part(page, finished):
    show_result(page)
    canvas, zoom, split = page.locator(".ve-compare canvas"), page.locator(".ve-zoom"), page.locator(".ve-split")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.up()
    assert int(split.input_value()) == pytest.approx(250, abs=10)
    split_at(page, AFTER)
    whole = drawn(page)
    zoom.select_option("4")
    middle = drawn(page)
    height, width = whole.shape[:2]
    part = whole[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    assert np.abs(middle[2::4, 2::4].astype(int) - part).mean() < 3
    canvas.focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    corner = drawn(page)
    seen, part = corner[2::4, 6::4].astype(int), whole[: height // 4, 1 : width // 4]  # without the line
    assert np.abs(seen - part).mean() < 3
    for value in ("1", "4"):
        canvas.dblclick()
        page.wait_for_function("value => document.querySelector('.ve-zoom').value === value", arg=value)


def test_a_job_takes_the_place_of_the_one_that_was_shown(page, server, finished):
    choose(page, "chosen", "meadow.mp4")
    choose(page, "model", server.model.name)
    page.locator("#size").get_by_label("as it is").check()
    page.locator("#plan").get_by_text("64x48, 8 fps, 8 frames, 1 s").wait_for()
    run(page)
    wait_for_job(page, "meadow.mp4: at work")
    wait_for_job(page, "meadow.mp4: finished")
    page.wait_for_function("document.querySelector('.ve-number')?.value === 'frame 1 of 8'")
    show_result(page)
    page.wait_for_function("document.querySelector('.ve-number').value === 'frame 1 of 24'")
    page.locator(".ve-next").click()
    wait_for_frame(page, 1)
    page.locator(".ve-play").click()
    assert page.locator(".ve-play").inner_text() == "Pause"  # once, though it has been another job's


def test_stills_motion_seams_and_the_report_are_there(page, server, finished):
    show_result(page)
    for words in ("Stills", "Motion"):
        picture = page.get_by_role("img", name=words)
        picture.scroll_into_view_if_needed()
        page.wait_for_function("one => one.naturalWidth > 0", arg=picture.element_handle())
    seams = page.locator("#result table", has_text="Seams (1 is none)").inner_text()
    assert "none: there is one window" in seams
    for name in ("before.jpg", "after.jpg"):
        answer = page.request.get(f"{server.address}jobs/{finished['id']}/{name}")
        assert Image.open(io.BytesIO(answer.body())).size == (128, 96)
    with page.expect_download() as download:
        page.get_by_role("link", name="report").click()
    report = download.value.path().read_text()
    assert '"plan"' in report
    assert str(server.folder) not in report
    page.locator("#result summary").click()
    assert "venhancer enhance numbers.mp4 numbers_enhanced.mp4 --scale 2" in page.locator("#result pre").inner_text()
