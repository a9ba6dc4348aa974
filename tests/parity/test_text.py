"""The published text encoder's tokens and embeddings, from open_clip's names and list of merges to transformers."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers.pre_tokenizers import ByteLevel
from torch.testing import assert_close
from transformers import CLIPTextModel

from stand_ins import GOLDEN, Tensors, formula, prefixed, text_shapes
from venhancer.checkpoints.reading import TensorFile
from venhancer.checkpoints.text import text_encoder
from venhancer.checkpoints.tokenizer import MOST_MERGES, clip_tokenizer
from venhancer.models.text import token_windows

VOCABULARY = 49408
PROMPTS = json.loads((GOLDEN / "clip_prompts.json").read_text(encoding="utf-8"))
Golden = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load_file(GOLDEN / "clip_text.safetensors")


@pytest.fixture(scope="module")
def tower() -> Tensors:
    shapes = text_shapes(width=64, layers=4, vocabulary=VOCABULARY)
    tower = {key: formula(f"open_clip.{key}", shape) for key, shape in shapes.items()}
    tower["token_embedding.weight"] *= 8
    return tower


def held(tensors: Tensors) -> TensorFile:
    return TensorFile(GOLDEN, {key: tuple(value.shape) for key, value in tensors.items()}, tensors.__getitem__)


def converted(tensors: Tensors) -> CLIPTextModel:
    component = text_encoder(held(tensors), text_dim=64, head_dim=32)
    component.model.load_state_dict({key: component.read(key) for key in component.model.state_dict()}, assign=True)
    filled = CLIPTextModel(component.model.config)
    filled.load_state_dict(component.model.state_dict())
    return filled.eval()


@pytest.mark.parametrize("prefix", ["", "cond_stage_model.model."])
@pytest.mark.parametrize("prompt", ["positive", "odd"])
def test_embeddings_are_the_published_ones(tower: Tensors, golden: Golden, prefix: str, prompt: str):
    """The last layer left out, the final norm kept, the exact GELU."""
    encoder = converted(prefixed(prefix, tower))
    assert len(encoder.encoder.layers) == 3
    with torch.no_grad():
        embeds = encoder(golden[f"tokens/{prompt}"].long()).last_hidden_state
    assert_close(embeds, golden[f"embedding/{prompt}"], rtol=0, atol=2e-5)


def test_transformers_names_are_read_too(tower: Tensors):
    """As in Stable Diffusion 2.1's folder, which has the last layer left out already, and a buffer of old times."""
    encoder = converted(tower)
    saved = prefixed("text_model.", encoder.state_dict()) | {"text_model.embeddings.position_ids": torch.arange(77)}
    again = converted(saved).state_dict()
    assert all(torch.equal(again[key], value) for key, value in encoder.state_dict().items())


def test_whole_published_tower_loses_its_last_layer():
    with torch.device("meta"):
        tower = {key: torch.empty(shape) for key, shape in text_shapes(1024, 24, VOCABULARY).items()}
        component = text_encoder(held(tower), text_dim=1024)
        names = [key for key in component.shapes if ".layers.22." in key]
        one_more = {key.replace(".layers.22.", ".layers.23."): torch.empty(component.shapes[key]) for key in names}
        rest = {key: torch.empty(shape) for key, shape in component.shapes.items()}
    for source in (component, text_encoder(held(rest | one_more), text_dim=1024)):
        config = source.model.config
        assert (config.num_hidden_layers, config.num_attention_heads, config.hidden_act) == (23, 16, "gelu")


@pytest.fixture(scope="module")
def merges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP's list with the merges that the prompts need in their places and others, of unused bytes, between."""
    needed = {int(rank): merge for rank, merge in PROMPTS["merges"].items()}
    pieces = ByteLevel().pre_tokenize_str(" ".join(PROMPTS["prompts"].values()).lower())
    unused = sorted(set(ByteLevel.alphabet()).difference(*(piece for piece, _ in pieces)))
    fillers = (f"{one} {other}{end}" for one, other in itertools.product(unused, repeat=2) for end in ("", "</w>"))
    lines = [needed.get(rank) or next(fillers) for rank in range(MOST_MERGES)]
    path = tmp_path_factory.mktemp("merges") / "merges.txt"
    path.write_text("\n".join(["#version: 0.2", *lines]), encoding="utf-8")
    return path


@pytest.mark.parametrize("prompt", ["empty", "positive", "negative", "clownfish+positive", "space"])
def test_tokens_are_the_published_ones(merges: Path, golden: Golden, prompt: str):
    tokenizer = clip_tokenizer(merges, vocabulary=VOCABULARY, length=77)
    tokens = token_windows(PROMPTS["prompts"][prompt], tokenizer, 77)
    assert tokens.tolist() == golden[f"tokens/{prompt}"].tolist()


def test_tokens_of_html_entities_differ(merges: Path, golden: Golden):
    """Known: open_clip turns `&amp;` and curly quotes into plain characters first, transformers does not."""
    tokenizer = clip_tokenizer(merges, vocabulary=VOCABULARY, length=77)
    assert token_windows(PROMPTS["prompts"]["odd"], tokenizer, 77).tolist() != golden["tokens/odd"].tolist()
