"""What studies write: tables with changes, a verdict, pictures, and a page that needs nothing beside it."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from evaluation.studies.test_run import QUICK, Enlarger, clip, study
from venhancer.errors import JobFailed
from venhancer.evaluation.cache import Cache
from venhancer.evaluation.studies.pages import (
    contact_sheet_of,
    overview,
    table_of,
    to_json,
    to_markdown,
    verdict,
    write_studies,
)
from venhancer.evaluation.studies.run import INPUT, run_study


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """Guidance makes pictures darker, noise does nothing, one of the scales cannot be; and words and times."""
    cache = Cache(tmp_path_factory.mktemp("kept"))
    names = {"guidance": "1,3", "noise": "", "scales": "2,8", "words": "good,bad", "times": "2,3"}
    model = Enlarger().model()
    return {name: run_study(study(name, values), [clip()], QUICK, model, cache) for name, values in names.items()}


def test_a_table_shows_means_and_changes(findings):
    table = table_of(findings["guidance"])
    assert [row[0] for row in table.rows] == [INPUT, "guidance 1", "guidance 3"]
    assert [row[-1] for row in table.rows] == ["", "", "2.00"]
    assert re.fullmatch(r"\d+\.\d\d \([+-]\d\.\d\d\)", table.rows[2][1])
    assert "(" not in table.rows[0][1] + table.rows[1][1]


def test_a_setting_without_effect_is_called_so(findings):
    assert verdict(findings["noise"]).startswith("No effect: outputs differ by 0.000 levels")
    assert verdict(findings["guidance"]) == "Outputs differ by up to 2.00 levels of 255 (guidance 1 and guidance 3)."
    assert "there is nothing to compare" in verdict(findings["scales"])


def test_what_failed_is_a_row_and_a_line(findings):
    assert table_of(findings["scales"]).rows[2][-1] == "failed"
    assert "- 8 x larger failed: an input of" in to_markdown("nano", QUICK, list(findings.values()))


def test_sheets_have_a_column_a_value_and_both_ends(findings):
    """Columns of 100 pixels, 8 between them, 20 around."""
    wide = contact_sheet_of(findings["guidance"], cell_width=100).shape[1]
    narrow = contact_sheet_of(findings["scales"], cell_width=100).shape[1]
    assert wide - narrow == 108
    assert overview(list(findings.values()), cell_width=60).shape[1] > 4 * 68


def test_json_has_every_figure(findings):
    content = json.loads(json.dumps(to_json("nano", QUICK, list(findings.values()))))
    guidance = content["studies"][0]
    assert guidance["differences"] == [["guidance 1", "guidance 3", 2.0]]
    assert guidance["means"]["guidance 3"]["psnr"] == pytest.approx(guidance["scores"]["noise"]["guidance 3"]["psnr"])
    assert content["setting"] == {"scale": 2, "factor": 3, "seed": 0}


def test_everything_is_written_and_the_page_holds_its_pictures(findings, tmp_path):
    files = write_studies(tmp_path / "out", "nano", QUICK, list(findings.values()))
    names = {file.name for file in files}
    assert names == {file.name for file in (tmp_path / "out").iterdir()}
    assert {"studies.html", "studies.md", "studies.json", "overview.jpg", "guidance.jpg", "words-plots.png"} <= names
    assert "times-motion-noise.png" in names
    page = files[0].read_text()
    assert page.count("<h2>") == 5
    assert page.count("data:image/") == len(names) - 4, "all pictures but the overview"
    assert "http" not in page
    with Image.open(tmp_path / "out" / "guidance.jpg") as sheet:
        assert np.asarray(sheet).std() > 10


def test_a_folder_that_cannot_be_is_told(findings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JobFailed, match="could not be written"):
        write_studies(tmp_path / "file", "nano", QUICK, [findings["guidance"]])
