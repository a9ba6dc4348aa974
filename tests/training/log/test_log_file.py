"""The log's files: read back, cut, whole or not at all."""

from pathlib import Path

import pytest

from venhancer.errors import InputError, JobFailed
from venhancer.training.log.file import append_line, cut_log, read_log, write_file


def test_lines_come_back(tmp_path):
    lines = [{"step": 1, "loss": 0.5}, {"step": 2, "terms": {"denoising": 0.25}}]
    for line in lines:
        append_line(tmp_path, line)
    assert read_log(tmp_path) == lines


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    append_line(tmp_path, {"step": 1})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert read_log(tmp_path) == [{"step": 1}]
    cut_log(tmp_path, 5)
    append_line(tmp_path, {"step": 2})
    assert read_log(tmp_path) == [{"step": 1}, {"step": 2}]


def test_a_cut_log_ends_with_its_checkpoint(tmp_path):
    for step in (1, 2, 2, 3, 4):
        append_line(tmp_path, {"step": step})
    cut_log(tmp_path, 2)
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["log.jsonl"]


def test_cutting_no_log_makes_none(tmp_path):
    cut_log(tmp_path, 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["not JSON\n", "[1]\n", '{"loss": 1}\n'])
def test_another_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "log.jsonl").write_text(content)
    with pytest.raises(InputError, match=r"log.jsonl is not a training log: .*pass the output folder") as error:
        read_log(tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_log_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no log.jsonl \(No such file or directory\)"):
        read_log(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told(tmp_path):
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(JobFailed, match=r"cannot be written; free some space, .* \(No space left on device\)"):
        append_line(tmp_path, {"step": 1})


@pytest.mark.usefixtures("capsys")
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, small_files):
    file = tmp_path / "report.json"
    write_file(file, b"old")
    with small_files(), pytest.raises(JobFailed, match=r"report.json cannot be written; .* \(File too large\)"):
        write_file(file, b"n" * 1000)
    assert file.read_bytes() == b"old"
