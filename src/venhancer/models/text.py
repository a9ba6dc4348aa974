"""Prompts to text embeddings, whatever their length.

Both text encoders are `CLIPTextModel`s: the published one is OpenCLIP's ViT-H/14 without its last layer, the embedded
one a small tower over bytes. A prompt longer than the encoder's window is cut into several windows whose embeddings
are concatenated; nothing of it is dropped.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase


def encode_prompts(
    prompts: list[str],
    tokenizer: PreTrainedTokenizerBase,
    text_encoder: CLIPTextModel,
    *,
    most_windows: int | None = None,
) -> Float[Tensor, "b n d"]:
    """Return the embeddings of prompts; n is the window (77) times the windows that the longest prompt needs.

    Args:
        prompts: texts of any length.
        tokenizer: of the text encoder.
        text_encoder: the tower.
        most_windows: of a prompt, the rest of it dropped; all if left out.
    """
    length = text_encoder.config.max_position_embeddings
    windows = [token_windows(prompt, tokenizer, length)[:most_windows] for prompt in prompts]
    most = max(len(each) for each in windows)
    empty = token_windows("", tokenizer, length)
    tokens = torch.cat([torch.cat([each, *[empty] * (most - len(each))]) for each in windows])
    embeds = text_encoder(tokens.to(text_encoder.device)).last_hidden_state
    return embeds.reshape(len(prompts), most * length, -1)


def token_windows(prompt: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Int[Tensor, "k n"]:
    """Return a prompt's token ids in as many windows of `length` as it needs, each begun, ended and padded."""
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids = tokenizer.encode(prompt, add_special_tokens=False, verbose=False)
    room = length - len(begin) - 1
    parts = [ids[start : start + room] for start in range(0, max(len(ids), 1), room)]
    windows = [[*begin, *part, tokenizer.eos_token_id] for part in parts]
    return torch.tensor([window + [tokenizer.pad_token_id] * (length - len(window)) for window in windows])
