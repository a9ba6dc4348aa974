"""The published models' text encoder: OpenCLIP's ViT-H/14 text tower without its last layer, as a `CLIPTextModel`.

The published program takes the features before the last layer and normalises them with the tower's final norm: a tower
with one layer less. It is found as an open_clip file (whole tower, vision beside it), inside a checkpoint of Stable
Diffusion 2.1, or in a transformers folder: whole, or with 23 layers as Stable Diffusion 2.1 ships it.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from venhancer.checkpoints.component import Component
from venhancer.checkpoints.reading import Shape, TensorFile
from venhancer.errors import WeightsError

HEAD_DIM = 64
LAYERS = 23
"""Layers of the published tower that are used; it has one more."""

_OPEN_CLIP_BLOCKS = "transformer.resblocks."
_FROM_OPEN_CLIP = (
    (r"^token_embedding\.", "embeddings.token_embedding."),
    (r"^positional_embedding$", "embeddings.position_embedding.weight"),
    (r"^transformer\.resblocks\.", "encoder.layers."),
    (r"^ln_final\.", "final_layer_norm."),
    (r"\.ln_(\d)\.", r".layer_norm\1."),
    (r"\.attn\.in_proj_(weight|bias)$", r".self_attn.qkv.\1"),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")
_USED = re.compile(r"(embeddings\.(token|position)_embedding|encoder\.layers\.\d+|final_layer_norm)\.")
_WHAT = "CLIP's text encoder"


def text_encoder(source: TensorFile, *, text_dim: int, head_dim: int = HEAD_DIM) -> Component:
    """Return the text encoder up to the layer before the last, with its final norm.

    Args:
        source: an open_clip or transformers weight file, or a whole checkpoint of Stable Diffusion 2.1.
        text_dim: width that the networks were made for.
        head_dim: width of an attention head, which does not follow from shapes.

    Raises:
        WeightsError: names or shapes are not those of such a tower, or its width is another one.
    """
    tower = source.below("cond_stage_model.model.", "text_model.", "")
    is_open_clip = any(key.startswith(_OPEN_CLIP_BLOCKS) for key in tower.shapes)
    tensors = _from_open_clip(tower) if is_open_clip else tower
    depth = len({layer[1] for key in tensors.shapes if (layer := _LAYER.match(key))})
    layers = depth - 1 if is_open_clip else min(depth, LAYERS)
    tensors = tensors.renamed({key: key for key in tensors.shapes if _is_used(key, layers)})
    with torch.device("meta"):
        model = CLIPTextModel(_config_of(tensors, layers, text_dim, head_dim))
    shapes = {key.removeprefix("text_model."): tuple(value.shape) for key, value in model.state_dict().items()}
    tensors.require(shapes, _WHAT)
    return Component("text_encoder", model, lambda key: tensors.read(key.removeprefix("text_model.")))


def _is_used(key: str, layers: int) -> bool:
    """Tell whether a tensor belongs to the text tower and not to the layers above the used ones."""
    layer = _LAYER.match(key)
    return _USED.match(key) is not None and (layer is None or int(layer[1]) < layers)


def _from_open_clip(tower: TensorFile) -> TensorFile:
    """Return the tower under transformers' names, the three projections of its attention layers apart."""
    shapes: dict[str, Shape] = {}
    places: dict[str, tuple[str, int | None]] = {}
    for key, shape in tower.shapes.items():
        name = key
        for pattern, replacement in _FROM_OPEN_CLIP:
            name = re.sub(pattern, replacement, name)
        if ".qkv." not in name:
            shapes[name], places[name] = shape, (key, None)
            continue
        for third, projection in enumerate(("q_proj", "k_proj", "v_proj")):
            part = name.replace("qkv", projection)
            shapes[part], places[part] = (shape[0] // 3, *shape[1:]), (key, third)

    def read(name: str) -> Tensor:
        key, third = places[name]
        return tower.read(key) if third is None else tower.read(key).chunk(3)[third]

    return TensorFile(tower.path, shapes, read)


def _config_of(tensors: TensorFile, layers: int, text_dim: int, head_dim: int) -> CLIPTextConfig:
    shapes: Mapping[str, Shape] = tensors.shapes
    try:
        vocabulary, width = shapes["embeddings.token_embedding.weight"]
        length = shapes["embeddings.position_embedding.weight"][0]
        hidden = shapes["encoder.layers.0.mlp.fc1.weight"][0]
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"{tensors.path} is not {_WHAT}: {error} is missing; pass the weights of OpenCLIP ViT-H/14"
        ) from error
    if width != text_dim:
        raise WeightsError(
            f"{tensors.path} gives text embeddings {width} wide but the networks expect {text_dim}; pass the weights "
            f"of OpenCLIP ViT-H/14"
        )
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(width // head_dim, 1),
        max_position_embeddings=length,
        hidden_act="gelu",
        pad_token_id=0,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )
