"""gradio as the page imports it: whole, and without a word written into its folder."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("gradio")

SCRIPT = """
import sys
from venhancer.page.toolkit import import_gradio
{before}
import_gradio()
import gradio
import venhancer.page.page
with gradio.Blocks() as page:
    box, button = gradio.Textbox(label="a"), gradio.Button("b")
    button.click(str, box, box)
assert len(page.config["dependencies"]) == 1
assert gradio.themes.Base and gradio.__spec__.name == "gradio"
heavy = {{"torch", "diffusers", "transformers"}} & sys.modules.keys()
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    "before", ["", "import gradio", "import venhancer.page.toolkit as it; it.WRITER = 'gradio.gone'"]
)
def test_gradio_is_whole_and_its_folder_untouched_and_nothing_heavy_loaded(before):
    spec = find_spec("gradio")
    stubs = Path(spec.origin).parent.rglob("*.pyi")
    states = {path: path.stat().st_mtime_ns for path in stubs}
    subprocess.run([sys.executable, "-c", SCRIPT.format(before=before)], check=True)
    assert {path: path.stat().st_mtime_ns for path in states} == states
