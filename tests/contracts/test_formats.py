"""The table of what each container keeps is the one the code goes by."""

from collections.abc import Iterable
from pathlib import Path

from venhancer.media.containers import CONTAINERS, PCM, TEXT_SUBTITLES
from venhancer.media.tracks import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"


def named(words: Iterable[str]) -> str:
    listed = set(words)
    names = sorted(listed - PCM) + (["PCM"] if listed >= PCM else [])
    return ", ".join(names) or "none"


def expected_table() -> str:
    """Return the table as Markdown: a row for each kind of thing, a column for each container."""
    rows = {
        "sound copied": [named(one.sound) for one in CONTAINERS.values()],
        "other sound encoded to": [one.sound_codec for one in CONTAINERS.values()],
        "subtitles copied": [named(one.subtitles) for one in CONTAINERS.values()],
        "other text subtitles converted to": [one.text_codec for one in CONTAINERS.values()],
        "cover pictures": [named(one.covers) for one in CONTAINERS.values()],
        "attached files, such as fonts": ["yes" if one.attachments else "no" for one in CONTAINERS.values()],
        "chapters": ["yes"] * len(CONTAINERS),
        "tags of the file": ["the usual" if one.tags_beside_covers else "all" for one in CONTAINERS.values()],
    }
    head = ["", *(f"`{suffix}`" for suffix in CONTAINERS)]
    lines = [head, ["---"] * len(head), *([name, *cells] for name, cells in rows.items())]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace("|  |", "| |", 1)


def test_page_has_the_table_that_the_code_goes_by():
    assert expected_table() in PAGE.read_text(encoding="utf-8")


def test_page_names_all_that_can_be_beside_the_pictures_and_all_text():
    page = PAGE.read_text(encoding="utf-8")
    assert all(name in page for name in KINDS.values())
    assert all(f"`{codec}`" in page for codec in TEXT_SUBTITLES)
