"""Reads Markdown: its code blocks, and the files it names."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The README has tests of its own.
PAGES = sorted(page for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")] if page.name != "README.md")
TOP = ("docs", "src", "tests", "recipes", "benchmarks", "examples", ".ci")


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: Path, program: str) -> list[str]:
    """Return the lines of the bash blocks that call a program, comments and what follows `&&` left out."""
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    return [re.split(r"\s+#|\s*&&", line)[0] for line in lines if line.startswith(f"{program} ")]


def named_files(page: Path) -> Iterator[tuple[str, Path]]:
    """Yield every relative link of a page, and every path of this project in its code, with where it leads."""
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?:|#", link):
            yield link, page.parent / link.partition("#")[0]
    for span in re.findall(r"`([\w./-]+)`", text):
        if span.startswith(tuple(f"{folder}/" for folder in TOP)):
            yield span, ROOT / span
