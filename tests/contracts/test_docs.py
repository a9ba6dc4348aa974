"""The pages hold: the settings page is what the code says, links lead somewhere, the map names every room."""

import re
import runpy
import shlex

import pytest

from contracts.written import PAGES, ROOT, commands, named_files
from venhancer.cli.main import make_parser

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
README = ROOT / "README.md"


def test_settings_page_is_up_to_date():
    page = runpy.run_path(str(ROOT / "docs" / "settings_page.py"))
    assert page["PAGE"].read_text() == page["render"](), "run python docs/settings_page.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_everything_a_page_names_is_there(page):
    assert [name for name, path in named_files(page) if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_parses(page):
    for command in commands(page, "venhancer"):
        arguments, unknown = make_parser().parse_known_args(shlex.split(command)[1:])
        assert (unknown, arguments.run is None) == ([], False), command


def test_index_links_every_page():
    linked = {path.resolve() for _, path in named_files(ROOT / "docs" / "index.md")}
    assert {page for page in PAGES if page.name != "index.md"} <= linked


def test_map_names_every_room():
    rooms = set(re.findall(r"^- `([\w/]+)/`: ", CONTRIBUTING.read_text(), re.MULTILINE))
    package = ROOT / "src" / "venhancer"
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("__init__.py")}
    assert rooms == (folders | {"nano"}) - {".", "evaluation/baselines"}, "every room has one line in CONTRIBUTING.md"


@pytest.mark.parametrize("name", ["page", "api", "comfyui"])
def test_pages_of_doors_are_short(name):
    assert len((ROOT / "docs" / f"{name}.md").read_text().split()) <= 600


def test_readme_fits_on_a_few_screens():
    assert len(README.read_text().splitlines()) <= 110
