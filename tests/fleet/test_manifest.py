"""Manifests: folders, patterns and lines become items, prompts are found, and all that is wrong is told at once."""

import json

import pytest

from venhancer.errors import InputError, SettingsError
from venhancer.fleet.fleet import by_size
from venhancer.fleet.manifest import read_manifest, settings_of, shard_of
from venhancer.settings import parse_settings

SETTINGS = parse_settings(scale=2)


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.mp4", "b.mov", "deep/c.avi"):
        (folder / name).write_bytes(b"x" * len(name))
    return folder


def write_lines(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return str(path)


def test_a_folder_becomes_items(clips):
    manifest = read_manifest("in", "out", SETTINGS)
    found = {item.id: (item.source, item.output) for item in manifest.items}
    assert found == {
        "a.mp4": (f"{clips}/a.mp4", "a.mp4"),
        "b.mov": (f"{clips}/b.mov", "b.mov"),
        "deep/c.avi": (f"{clips}/deep/c.avi", "deep/c.mkv"),
    }
    assert manifest.out.address == str(clips.parent / "out")


@pytest.mark.parametrize(
    ("pattern", "ids"), [("in/*.m*", ["a.mp4", "b.mov"]), ("in/**/*.avi", ["deep/c.avi"]), ("in/?.mp4", ["a.mp4"])]
)
def test_a_pattern_becomes_items(clips, pattern, ids):
    assert [item.id for item in read_manifest(pattern, "out", SETTINGS).items] == ids


def test_lines_become_items_with_their_own_settings(clips, tmp_path):
    lines = write_lines(
        tmp_path / "jobs.jsonl",
        {"input": "in/a.mp4", "output": "made/one.mp4", "id": "one", "prompt": "a rabbit"},
        "",
        {"input": str(clips / "b.mov"), "output": "made/deep/two.mkv", "settings": {"size": "64x48", "seed": 3}},
    )
    manifest = read_manifest(lines, None, SETTINGS)
    assert manifest.out.address == str(tmp_path / "made")
    one, two = manifest.items
    assert (one.id, one.output, two.id, two.output) == ("one", "one.mp4", "deep/two.mkv", "deep/two.mkv")
    assert settings_of(one, SETTINGS) == parse_settings(scale=2, prompt="a rabbit")
    assert settings_of(two, SETTINGS) == parse_settings(size="64x48", seed=3)
    given = write_lines(tmp_path / "short.jsonl", {"input": "in/a.mp4"})
    assert [item.output for item in read_manifest(given, "out", SETTINGS).items] == ["a.mp4"]


def test_all_that_is_wrong_is_told_at_once(clips, tmp_path):
    lines = write_lines(
        tmp_path / "jobs.jsonl",
        {"input": "in/a.mp4", "output": "made/a.mp4", "settings": {"scael": 3}},
        {"input": "in/none.mp4", "output": "made/b.mp4", "promt": "x"},
        {"input": "in/b.mov", "output": "made/A.mp4", "id": "a.mp4"},
        {"input": "in/b.mov", "output": "made/c.txt", "settings": {"model": "v2", "seed": -1}},
        "no json",
        {"output": "made/d.mp4"},
        {"input": "in/deep", "output": "made/e.mp4"},
    )
    with pytest.raises(InputError) as refused:
        read_manifest(lines, None, SETTINGS)
    problems = str(refused.value).split(". Also: ")
    expected = [
        "jobs.jsonl, line 5 is not valid JSON",
        'jobs.jsonl, line 6 has no "input"; write {"input": "a.mp4", "output": "b.mp4"}',
        "jobs.jsonl, line 2: unknown key promt; did you mean prompt?",
        "unknown setting scael; did you mean scale?",
        f"jobs.jsonl, line 2: {clips}/none.mp4 is not there",
        f"jobs.jsonl, line 7: {clips}/deep is a folder",
        "id a.mp4 is there twice",
        "a.mp4 and a.mp4 would both become made/A.mp4; rename one of them",
        "c.txt is of no known kind",
        "seed -1 is below 0",
        "model is one for all items",
    ]
    for words in expected:
        assert any(words in problem for problem in problems), words
    assert len(problems) == len(expected)


def test_prompts_come_from_sidecars_and_tables(clips, tmp_path):
    (clips / "a.txt").write_text("a rabbit\n")
    (tmp_path / "prompts.csv").write_text("name,caption\nb.mov,a river\nc,a street\n")
    manifest = read_manifest("in", "out", SETTINGS, prompts="prompts.csv", column="caption")
    prompts = {item.id: item.settings.get("prompt") for item in manifest.items if not item.skipped}
    assert prompts == {"a.mp4": "a rabbit", "b.mov": "a river", "deep/c.avi": "a street"}
    (skipped,) = (item for item in manifest.items if item.skipped)
    assert (skipped.id, skipped.skipped) == ("a.txt", "the prompt of the clip beside it")
    with pytest.raises(InputError, match=r"has no column captoin.*did you mean --prompt-column caption\?"):
        read_manifest("in", "out", SETTINGS, prompts="prompts.csv", column="captoin")
    (tmp_path / "prompts.csv").write_text("name,prompt\nb.mvo,a river\n")
    with pytest.raises(InputError, match=r"unknown clip b.mvo; did you mean b.mov\?"):
        read_manifest("in", "out", SETTINGS, prompts="prompts.csv")


def test_what_cannot_be_a_manifest_is_refused(clips):
    for given, out, reason in [
        ("none", "out", "none is not there"),
        ("in/a.mp4", "out", "is a file; use `venhancer enhance` for one"),
        ("in", None, "needs a folder for the outputs"),
        ("in/*.wmv", "out", "matches no clip"),
        ("in", "out.mp4", "out.mp4 must be a folder"),
        ("in", "http://host/out", "can only be read"),
        ("in", "in", "is the input folder"),
        ("none.jsonl", "out", "cannot be read"),
    ]:
        with pytest.raises(InputError, match=reason.replace("?", r"\?")):
            read_manifest(given, out, SETTINGS)


def test_shards_are_every_nth_item_and_together_all(clips):
    items = read_manifest("in", "out", SETTINGS).items
    shards = [shard_of(items, f"{number}/2") for number in range(2)]
    assert [len(shard) for shard in shards] == [2, 1]
    assert {item.id for shard in shards for item in shard} == {item.id for item in items}
    for wrong in ("2/2", "1", "a/b", "-1/2"):
        with pytest.raises(SettingsError, match="is invalid; pass --shard I/N"):
            shard_of(items, wrong)


def test_clips_of_one_folder_and_kind_follow_one_another_large_ones_first(clips):
    (clips / "d.mp4").write_bytes(b"x" * 100)
    items = by_size(read_manifest("in", "out", SETTINGS).items)
    assert [item.id for item in items] == ["b.mov", "d.mp4", "a.mp4", "deep/c.avi"]


def test_the_key_of_an_item_tells_its_source_and_settings(clips):
    (item, *_) = read_manifest("in", "out", SETTINGS).items
    key = item.key("job")
    assert item.key("other job") != key
    assert item._replace(settings={"prompt": "x"}).key("job") != key
    (clips / "a.mp4").write_bytes(b"changed")
    assert read_manifest("in", "out", SETTINGS).items[0].key("job") != key
