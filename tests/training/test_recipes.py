"""Recipes are read strictly."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from contracts.written import ROOT, blocks
from venhancer.errors import SettingsError
from venhancer.training.data.manifest import ClipEntry
from venhancer.training.settings import TrainSettings

CHAPTER = ROOT / "docs" / "training-data.md"
RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses(recipe):
    TrainSettings.from_file(recipe)


def test_there_is_a_recipe_for_the_embedded_model():
    assert "nano" in {recipe.stem for recipe in RECIPES}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("output: a\ndata: b\ncrop: [8, 8]\nsteps: 1\nlearning_rte: 1", "did you mean learning_rate"),
        ("output: a\ndata: b\ncrop: [8, 8]\nsteps: 0", "steps is 0: input should be greater than or equal to 1"),
        ("output: a\ndata: b\ncrop: [8, 8]\nsteps: 1\naugment: {prompt_dropot: 1}", "did you mean prompt_dropout"),
        (
            "output: a\ndata: b\ncrop: [8, 8]\nsteps: 1\ntrain: all\ndefaults: {steps: 0}",
            "wrong defaults: steps 0 is below 1",
        ),
        ("output: a\ndata: b\ncrop: [8, 8]\nsteps: 1\ntrain: all\ndefaults: {stps: 1}", "of the recipe has"),
        ("steps: [", "cannot be read"),
    ],
)
def test_mistakes_are_one_line(tmp_path, text, message):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    with pytest.raises(SettingsError, match=message) as raised:
        TrainSettings.from_file(recipe)
    assert "\n" not in str(raised.value)


def test_a_missing_recipe_is_one_line(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        TrainSettings.from_file(tmp_path / "none.yaml")


HEAD = "output: a\ncrop: [8, 8]\nsteps: 1\ntrain: all\n"


def test_a_path_is_short_for_a_manifest(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{HEAD}data: clips\n")
    short = TrainSettings.from_file(recipe)
    recipe.write_text(f"{HEAD}data: {{manifest: clips}}\n")
    assert TrainSettings.from_file(recipe) == short
    assert short.data.manifest == Path("clips")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{manifest: a, crop_form: centre}", "did you mean crop_from"),
        ("{manifest: a, fps: fast}", r"data\.fps fast is not a plain number or fraction"),
        ("{manifest: a, latent_cache: b}", "set crop_from: centre and mirrored_share: 0, or omit latent_cache"),
        ("{manifest: a, latent_cache: b, crop_from: centre}", "and mirrored_share 0.5"),
        ("{crop_from: centre}", r"data\.manifest is .*: field required"),
    ],
)
def test_mistakes_in_the_data_are_one_line(tmp_path, data, message):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{HEAD}data: {data}\n")
    with pytest.raises(SettingsError, match=message) as raised:
        TrainSettings.from_file(recipe)
    assert "\n" not in str(raised.value)


def test_degraded_targets_cannot_be_cached(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    data = "data: {manifest: a, latent_cache: b, crop_from: centre, mirrored_share: 0}\n"
    recipe.write_text(f"{HEAD}{data}augment: {{low_quality_share: 0.1}}\n")
    with pytest.raises(SettingsError, match=r"low_quality_share 0\.1\); set that to 0, or omit latent_cache"):
        TrainSettings.from_file(recipe)


@pytest.mark.parametrize("block", blocks(CHAPTER, "yaml"))
def test_recipes_in_the_chapter_on_data_parse(block):
    needed = {"output": "a", "crop": [8, 8], "steps": 1, "train": "all"}
    TrainSettings.model_validate(needed | yaml.safe_load(block))


def test_the_manifest_in_the_chapter_on_data_parses():
    (line,) = re.findall(r"(?m)^\{.*\}$", CHAPTER.read_text())
    assert ClipEntry.model_validate_json(line).rate == Fraction(24000, 1001)


def test_the_chapter_on_data_names_every_field_of_a_clip():
    table = CHAPTER.read_text().partition("## The manifest")[2].partition("## ")[0]
    assert set(ClipEntry.model_fields) <= set(re.findall(r"`(\w+)`", table))


def test_a_recipe_can_follow_another(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "deeper" / "second.yaml"
    second.parent.mkdir()
    first.write_text(f"{HEAD}data: clips\nnext_recipe: deeper/second.yaml\n")
    second.write_text(f"{HEAD}data: clips\n".replace("steps: 1", "steps: 2"))
    assert [settings.steps for settings in TrainSettings.in_turn(first)] == [1, 2]
    second.write_text(f"{HEAD}data: clips\nnext_recipe: ../first.yaml\n")
    with pytest.raises(SettingsError, match="would run twice"):
        TrainSettings.in_turn(first)
