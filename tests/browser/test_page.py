"""The page as people use it: a clip in, a plan to read, a job to watch, a result to compare and take away."""

import os
import re
import subprocess
import sys
import time

import psutil
import pytest

from browser.actions import choose, jobs_of, run, upload, wait_for_frame, wait_for_job

pytestmark = pytest.mark.browser


def test_a_clip_is_uploaded_planned_enhanced_compared_and_downloaded(page, server, tmp_path):
    clip, before = server.folder / "inputs" / "meadow.mp4", len(jobs_of(server))
    upload(page, clip)
    plan = page.locator("#plan")
    plan.get_by_text("256x192, 8 fps, 8 frames, 1 s").wait_for()
    page.locator("#size").get_by_label("2x").check()
    page.locator("#rate").get_by_label("24").check()
    plan.get_by_text("128x96, 24 fps, 24 frames, 1 s").wait_for()
    assert "memory" in plan.inner_text()
    assert "nothing is lost" in plan.inner_text()
    assert len(jobs_of(server)) == before  # nothing ran yet
    run(page)
    wait_for_job(page, "meadow.mp4: at work")
    page.wait_for_function("document.querySelector('#progress progress').value > 0")
    wait_for_job(page, "meadow.mp4: finished")

    figure = page.locator(".ve-compare")
    figure.wait_for()
    wait_for_frame(page, 0)
    assert figure.locator(".ve-number").inner_text() == "frame 1 of 24"
    figure.locator(".ve-next").click()
    wait_for_frame(page, 1)
    pixels = "() => document.querySelector('.ve-compare canvas').toDataURL()"
    before = page.evaluate(pixels)
    split = figure.locator(".ve-split")
    split.focus()
    for _ in range(5):
        page.keyboard.press("PageUp")
    assert int(split.input_value()) > 500
    assert page.evaluate(pixels) != before
    figure.locator(".ve-play").click()
    page.wait_for_function("Number(document.querySelector('.ve-compare').dataset.frame) > 3")
    figure.locator(".ve-play").click()
    assert page.locator("#result img").count() == 2
    assert page.locator("#result table").count() == 1

    with page.expect_download() as download:
        page.get_by_text("Download meadow_enhanced.mp4").click()
    download.value.save_as(tmp_path / "page.mp4")
    flags = ["--scale", "2", "--fps", "24", "--device", "cpu", "--dtype", "fp32", "--quiet"]
    command = [sys.executable, "-m", "venhancer", "enhance", str(clip), str(tmp_path / "line.mp4"), *flags]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert (tmp_path / "page.mp4").read_bytes() == (tmp_path / "line.mp4").read_bytes()


def test_a_job_is_paused_cancelled_resumed_and_survives_reloads_and_a_restart(page, server):
    choose(page, "chosen", "long.mp4")
    choose(page, "model", server.model.name)
    page.locator("#size").get_by_label("as it is").check()
    page.locator("#rate").get_by_label("24").check()
    page.locator("#plan").get_by_text("32x24, 24 fps, 400 frames").wait_for()
    run(page)
    wait_for_job(page, "long.mp4: at work")
    page.reload()  # in the middle: the job goes on, and the page finds it
    wait_for_job(page, "long.mp4: at work")
    until_a_segment_is_kept(server)
    page.wait_for_function("document.querySelector('#progress .ve-latest')?.naturalWidth > 0")
    wait_for_job(page, re.compile(r"\d+% .* of 400 frames .* left"))
    assert workers(server)
    page.get_by_role("button", name="Pause").click()
    wait_for_job(page, "long.mp4: paused")
    assert workers(server) == []  # nobody holds its memory any more
    kept = segments(server)
    assert kept > 0
    page.get_by_role("button", name="Resume").click()
    wait_for_job(page, "long.mp4: at work")
    page.get_by_role("button", name="Cancel").click()
    wait_for_job(page, "long.mp4: cancelled")
    assert segments(server) >= kept
    page.get_by_role("button", name="Resume").click()
    wait_for_job(page, "long.mp4: at work")
    server.kill()
    server.start()
    page.reload()
    wait_for_job(page, "long.mp4: finished")
    assert jobs_of(server)[-1]["frames"] == 400
    page.reload()  # history: the job and its result are found again
    wait_for_job(page, "long.mp4: finished")
    page.locator(".ve-compare").wait_for()


def test_a_preview_is_ten_frames_from_the_playhead(page, server):
    choose(page, "chosen", "long.mp4")
    page.locator("#plan").get_by_text("128x96, 12 fps, 200 frames").wait_for()
    page.locator("#playhead input[type=number]").fill("5")
    page.get_by_role("button", name="Preview ten frames").click()
    page.wait_for_function("document.querySelector('#job input').value.startsWith('preview of long.mp4 · finished')")
    number = "document.querySelector('.ve-compare .ve-number')?.value"
    page.wait_for_function(f"{number} === 'frame 1 of 10'")
    newest = jobs_of(server)[-1]
    assert (newest["preview"], newest["settings"]["start"], newest["frames"]) == (True, "5", 10)


def segments(server) -> int:
    newest = sorted((server.folder / "jobs").glob("*/job.json"))[-1].parent
    return len(list(newest.glob("result/*.part/segment_*")))


def workers(server) -> list[psutil.Process]:
    """Return the processes that work on jobs."""
    return [
        one for one in psutil.Process(server.process.pid).children() if "venhancer.serving.process" in one.cmdline()
    ]


def until_a_segment_is_kept(server) -> None:
    end = time.monotonic() + 120
    while not segments(server):
        assert time.monotonic() < end
        time.sleep(0.005)


def test_two_tabs_share_the_jobs_and_one_works_at_a_time(page, server):
    other = page.context.new_page()
    other.goto(server.address)
    for tab in (page, other):
        choose(tab, "chosen", "long.mp4")
        choose(tab, "model", server.model.name)
        tab.locator("#size").get_by_label("as it is").check()
        tab.locator("#plan").get_by_text("32x24, 12 fps, 200 frames, 16.667 s").wait_for()  # the output, not the input
    run(page)
    wait_for_job(page, "at work")
    run(other)
    wait_for_job(other, re.compile("waiting · 1 before it|at work"))
    states = [job["state"] for job in jobs_of(server)][-2:]
    assert states.count("working") <= 1
    wait_for_job(page, "finished")
    wait_for_job(other, "finished")
    assert [job["state"] for job in jobs_of(server)][-2:] == ["finished", "finished"]
    page.locator("#result table", has_text=re.compile(r"\d times elsewhere .* places")).wait_for()  # seams


def test_a_hostile_file_is_refused_in_one_line_without_paths(page, server, tmp_path):
    name = "<img src=x onerror=alert(1)>.mp4"
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(range(256)) * 64)
    upload(page, tmp_path / name)
    refusal = page.locator("#plan .ve-refusal")
    refusal.wait_for()
    line = refusal.inner_text()
    assert "\n" not in line.strip()
    assert str(server.folder) not in line
    run(page)
    refusal.wait_for()
    assert page.locator("#plan img").count() == 0
    assert "onerror" not in [job["name"] for job in jobs_of(server)]


def test_a_refused_value_is_told_where_it_is_and_nothing_runs(page, server):
    choose(page, "chosen", "meadow.mp4")
    page.locator("#plan").get_by_text("256x192, 8 fps").wait_for()
    before = len(jobs_of(server))
    page.get_by_role("button", name="More").click()
    for control, wrong, right, line in (
        ("more-guidance_scale", "99", "2", "guidance_scale 99 is above 15"),
        ("more-tile", "many", "", "tile many is not a size"),
        ("memory", "much", "", "memory much is not an amount of memory"),
    ):
        box = page.locator(f"#{control}").locator("input, textarea").first
        box.fill(wrong)  # as text that is pasted
        box.press("Tab")
        page.locator("#plan .ve-refusal", has_text=line).wait_for()
        page.locator(f"#{control} + .ve-told", has_text=line).wait_for()
        assert box.get_attribute("aria-invalid") == "true"
        run(page)
        page.locator("#plan .ve-refusal", has_text=line).wait_for()
        box.fill(right)
        box.press("Tab")
        page.locator("#plan").get_by_text("256x192, 8 fps").wait_for()
        page.wait_for_function("!document.querySelector('.ve-told')")
        assert box.get_attribute("aria-invalid") is None
    assert len(jobs_of(server)) == before
