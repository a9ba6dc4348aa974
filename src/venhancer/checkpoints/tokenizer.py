"""CLIP's tokenizer from its list of merges, the one file that both open_clip and transformers ship.

The vocabulary follows from the merges: 256 bytes, the same at the end of a word, one entry a merge, and the marks of
begin and end. Padding is id 0 ("!"), as open_clip pads; transformers' own CLIP folders say otherwise.
"""

import gzip
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from venhancer.errors import WeightsError

MERGES_FILES = ("merges.txt", "bpe_simple_vocab_16e6.txt.gz", "bpe_simple_vocab_16e6.txt")
MOST_MERGES = 48894
"""Merges that CLIP uses of the longer list in open_clip's file; `merges.txt` has no more."""

_WORD_END = "</w>"
_MARKS = ("<|startoftext|>", "<|endoftext|>")


def find_merges(text: Path, tokenizer: Path | None) -> Path:
    """Return the list of merges: in `tokenizer` if given, else beside the text encoder's weights.

    Raises:
        WeightsError: there is none.
    """
    if tokenizer is not None and tokenizer.is_file():
        return tokenizer
    beside = text if text.is_dir() else text.parent
    folders = [tokenizer] if tokenizer else [beside, beside / "tokenizer", beside.parent / "tokenizer"]
    for folder in folders:
        for name in MERGES_FILES:
            if (folder / name).is_file():
                return folder / name
    raise WeightsError(
        f"no list of CLIP's merges ({' or '.join(MERGES_FILES)}) in {' or '.join(map(str, folders))}; "
        "put one there or pass it as the tokenizer (open_clip's Python package contains one)"
    )


def clip_tokenizer(merges_file: Path, *, vocabulary: int, length: int) -> CLIPTokenizer:
    """Return the tokenizer of a list of merges.

    Args:
        merges_file: a line to skip, then two symbols a line; may be gzipped.
        vocabulary: tokens that the text encoder has embeddings for.
        length: tokens that the text encoder takes.

    Raises:
        WeightsError: the file is no such list, or of another vocabulary.
    """
    merges = _read_merges(merges_file)
    alphabet = sorted(ByteLevel.alphabet())
    symbols = [*alphabet, *(letter + _WORD_END for letter in alphabet), *("".join(merge) for merge in merges), *_MARKS]
    if len(symbols) != vocabulary:
        raise WeightsError(
            f"{merges_file} makes {len(symbols)} tokens but the text encoder knows {vocabulary}; pass the list that "
            f"belongs to it"
        )
    return CLIPTokenizer(
        vocab={symbol: number for number, symbol in enumerate(symbols)},
        merges=merges,  # pyright: ignore[reportArgumentType] - annotated as text, but handed on as pairs
        pad_token="!",
        model_max_length=length,
    )


def _read_merges(path: Path) -> list[tuple[str, str]]:
    try:
        text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is damaged or not a list of CLIP's merges; download it again") from error
    merges = [tuple(line.split()) for line in text.splitlines()[1 : MOST_MERGES + 1]]
    if not merges or any(len(merge) != 2 for merge in merges):
        raise WeightsError(
            f"{path} is not a list of CLIP's merges, which has two symbols per line; pass {MERGES_FILES[0]}"
        )
    return [(first, second) for first, second in merges]
