"""MUSIQ at its real size on weights given by a formula, against its first program's arithmetic written out in NumPy."""

from math import ceil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from venhancer.errors import WeightsError
from venhancer.evaluation.metrics.imaging_quality import imaging_quality
from venhancer.evaluation.metrics.metric import Subject
from venhancer.evaluation.metrics.musiq import musiq_koniq, musiq_spaq
from venhancer.evaluation.metrics.musiq_network import Musiq, load_musiq
from venhancer.evaluation.metrics.registry import score

BLOCKS = 14
PICTURE = np.random.default_rng(0).integers(0, 256, (72, 104, 3), dtype=np.uint8)


def arrays(blocks: int = BLOCKS) -> dict[str, np.ndarray]:
    """The file of the first program: every array scattered by a formula."""
    shapes = {
        "conv_root/kernel": (7, 7, 3, 64),
        "gn_root/scale": (1, 1, 1, 64),
        "gn_root/bias": (1, 1, 1, 64),
        "embedding/kernel": (16384, 384),
        "embedding/bias": (384,),
        "Transformer/posembed_input/pos_embedding": (1, 100, 384),
        "Transformer/scaleembed_input/scale_embedding": (1, 3, 384),
        "Transformer/cls": (1, 1, 384),
        "Transformer/encoder_norm/scale": (384,),
        "Transformer/encoder_norm/bias": (384,),
        "head/kernel": (384, 1),
        "head/bias": (1,),
    }
    for name, shape in (
        ("1", (1, 1, 64, 64)),
        ("2", (3, 3, 64, 64)),
        ("3", (1, 1, 64, 256)),
        ("_proj", (1, 1, 64, 256)),
    ):
        shapes[f"block1/unit1/conv{name}/kernel"] = shape
        shapes |= {f"block1/unit1/gn{name}/{part}": (1, 1, 1, shape[-1]) for part in ("scale", "bias")}
    for number in range(blocks):
        block = f"Transformer/encoderblock_{number}"
        shapes |= {f"{block}/LayerNorm_{n}/{part}": (384,) for n in (0, 2) for part in ("scale", "bias")}
        attention = f"{block}/MultiHeadDotProductAttention_1"
        for part in ("query", "key", "value"):
            shapes |= {f"{attention}/{part}/kernel": (384, 6, 64), f"{attention}/{part}/bias": (6, 64)}
        shapes |= {f"{attention}/out/kernel": (6, 64, 384), f"{attention}/out/bias": (384,)}
        shapes |= {f"{block}/MlpBlock_3/Dense_0/kernel": (384, 1152), f"{block}/MlpBlock_3/Dense_0/bias": (1152,)}
        shapes |= {f"{block}/MlpBlock_3/Dense_1/kernel": (1152, 384), f"{block}/MlpBlock_3/Dense_1/bias": (384,)}
    found = {}
    for number, (name, shape) in enumerate(shapes.items()):
        scattered = np.sin(np.arange(np.prod(shape)) * 12.9898 + number) * 43758.5453 % 1 - 0.5
        inputs = 384 if "MultiHead" in name else np.prod(shape[:-1]) if "kernel" in name else 4
        array = scattered.reshape(shape) * (12 / inputs) ** 0.5 + name.endswith("/scale")
        found[f"opt/target/{name}"] = array.astype(np.float32)
    return found


def program(content: dict[str, np.ndarray], picture: np.ndarray, blocks: int = BLOCKS) -> float:
    """The first program on a picture in [-1, 1], empty patches and masks and all; resizing is the PyTorch port's."""
    of = {name.removeprefix("opt/target/"): array.astype(np.float64) for name, array in content.items()}
    patches, places, sizes, mask = [], [], [], []
    for number, longer in enumerate((224, 384, None)):
        one = picture if longer is None else resized(picture, longer)
        rows, columns = (ceil(side / 32) for side in one.shape[:2])
        most = rows * columns if longer is None else ceil(longer / 32) ** 2
        cut = same(one, 32, 32).reshape(rows, 32, columns, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
        empty = most - len(cut)
        patches += [cut, np.zeros((empty, 32, 32, 3))]
        at = [(r * 10 // rows) * 10 + c * 10 // columns for r in range(rows) for c in range(columns)]
        places += at + [0] * empty
        sizes += [number] * len(cut) + [0] * empty
        mask += [True] * len(cut) + [False] * empty
    x = np.concatenate(patches)
    x = np.maximum(group_norm(convolve(x, of["conv_root/kernel"], 2), of, "gn_root", 1e-6), 0)
    x = pooled(x)
    unit = "block1/unit1"
    y = np.maximum(group_norm(convolve(x, of[f"{unit}/conv1/kernel"], 1), of, f"{unit}/gn1", 1e-4), 0)
    y = np.maximum(group_norm(convolve(y, of[f"{unit}/conv2/kernel"], 1), of, f"{unit}/gn2", 1e-4), 0)
    y = group_norm(convolve(y, of[f"{unit}/conv3/kernel"], 1), of, f"{unit}/gn3", 1e-4)
    x = np.maximum(y + group_norm(convolve(x, of[f"{unit}/conv_proj/kernel"], 1), of, f"{unit}/gn_proj", 1e-4), 0)
    x = x.reshape(len(x), -1) @ of["embedding/kernel"] + of["embedding/bias"]
    x = x + of["Transformer/posembed_input/pos_embedding"][0][places]
    x = x + of["Transformer/scaleembed_input/scale_embedding"][0][sizes]
    x = np.concatenate([of["Transformer/cls"][0], x])
    seen = np.array([True, *mask])
    for number in range(blocks):
        block = f"Transformer/encoderblock_{number}"
        x = x + attention(
            layer_norm(x, of, f"{block}/LayerNorm_0"), of, f"{block}/MultiHeadDotProductAttention_1", seen
        )
        y = layer_norm(x, of, f"{block}/LayerNorm_2")
        y = y @ of[f"{block}/MlpBlock_3/Dense_0/kernel"] + of[f"{block}/MlpBlock_3/Dense_0/bias"]
        y = F.gelu(torch.from_numpy(y)).numpy()
        x = x + y @ of[f"{block}/MlpBlock_3/Dense_1/kernel"] + of[f"{block}/MlpBlock_3/Dense_1/bias"]
    x = layer_norm(x, of, "Transformer/encoder_norm")
    return float(x[0] @ of["head/kernel"][:, 0] + of["head/bias"][0])


def resized(picture: np.ndarray, longer: int) -> np.ndarray:
    ratio = longer / max(picture.shape[:2])
    size = [round(side * ratio) for side in picture.shape[:2]]
    tensor = torch.from_numpy(picture).movedim(-1, 0)[None].float()
    return F.interpolate(tensor, size, mode="bicubic")[0].movedim(0, -1).double().numpy()


def same(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """A picture `h w c` or several `n h w c`, padded as TensorFlow's "SAME"."""
    pads = []
    for side in x.shape[-3:-1]:
        total = max((ceil(side / stride) - 1) * stride + kernel - side, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, [(0, 0)] * (x.ndim - 3) + pads + [(0, 0)])


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    kernel = kernel - kernel.mean(axis=(0, 1, 2))
    kernel = kernel / (kernel.std(axis=(0, 1, 2)) + 1e-5)
    side = kernel.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(same(x, side, stride), (side, side), axis=(1, 2))
    return np.einsum("nhwcij,ijcd->nhwd", windows[:, ::stride, ::stride], kernel, optimize=True)


def pooled(x: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(same(x, 3, 2), (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(-1, -2))


def group_norm(x: np.ndarray, of: dict, name: str, eps: float) -> np.ndarray:
    groups = x.reshape(*x.shape[:3], 32, -1)
    mean, spread = (function(groups, axis=(1, 2, 4), keepdims=True) for function in (np.mean, np.var))
    return ((groups - mean) / np.sqrt(spread + eps)).reshape(x.shape) * of[f"{name}/scale"] + of[f"{name}/bias"]


def layer_norm(x: np.ndarray, of: dict, name: str) -> np.ndarray:
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return normal * of[f"{name}/scale"] + of[f"{name}/bias"]


def attention(x: np.ndarray, of: dict, name: str, seen: np.ndarray) -> np.ndarray:
    q, k, v = (
        np.einsum("nd,dhe->hne", x, of[f"{name}/{part}/kernel"]) + of[f"{name}/{part}/bias"][:, None]
        for part in ("query", "key", "value")
    )
    logits = np.where(seen, q @ k.swapaxes(1, 2) / 8, -1e10)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    heads = shares / shares.sum(-1, keepdims=True) @ v
    return np.einsum("hne,hed->nd", heads, of[f"{name}/out/kernel"]) + of[f"{name}/out/bias"]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The first program's file, and its content."""
    content = arrays()
    path = tmp_path_factory.mktemp("musiq") / "koniq_ckpt.npz"
    np.savez(path, **content)
    return path, content


def test_musiq_is_the_first_programs_arithmetic(first):
    path, content = first
    expected = program(content, PICTURE / 127.5 - 1)
    found = score(Subject(result=PICTURE[None], weights={"musiq_koniq": path}), ["musiq_koniq"])
    assert found["musiq_koniq"] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert musiq_koniq(255 - PICTURE[None] // 4, path) != pytest.approx(expected, rel=2e-3, abs=2e-3)


def port(network: Musiq) -> dict[str, torch.Tensor]:
    """The same weights under the names of the PyTorch port."""
    names = {
        "places": "transformer_encoder.posembed_input.position_emb",
        "sizes": "transformer_encoder.scaleembed_input.scale_emb",
        "first": "transformer_encoder.cls",
    }
    found = {}
    for name, value in network.state_dict().items():
        words = name.split(".")
        if words[0] == "blocks":
            inner = {"q": "attention.", "k": "attention.", "v": "attention.", "o": "attention.", "f": "mlp."}
            part = inner.get(words[2][0], "")
            block = f"transformer_encoder.transformer.encoderblock_{words[1]}"
            found[f"{block}.{part}{'.'.join(words[2:])}"] = value
        elif words[0] == "norm":
            found[f"transformer_encoder.encoder_norm.{words[1]}"] = value
        else:
            found[names.get(name, name)] = value
    found[names["places"]] = found[names["places"]][None]
    found[names["first"]] = found[names["first"]][None, None]
    return {"params": found}


def test_the_ports_file_gives_the_same(first, tmp_path):
    network = load_musiq(first[0])
    torch.save(port(network), tmp_path / "musiq_spaq_ckpt.pth")
    assert musiq_spaq(PICTURE[None], tmp_path / "musiq_spaq_ckpt.pth") == musiq_koniq(PICTURE[None], first[0])


def test_imaging_quality_makes_frames_small_without_antialiasing(tmp_path):
    np.savez(tmp_path / "spaq.npz", **arrays(blocks=1))
    large = np.random.default_rng(1).integers(0, 256, (1, 300, 640, 3), dtype=np.uint8)
    tensor = torch.from_numpy(large).movedim(-1, 1).float() / 255
    small = F.interpolate(tensor, (240, 512), mode="bilinear")
    expected = float(load_musiq(tmp_path / "spaq.npz")(small)) / 100
    assert imaging_quality(large, tmp_path / "spaq.npz") == pytest.approx(expected, rel=1e-4)
    assert (
        imaging_quality(PICTURE[None], tmp_path / "spaq.npz") == musiq_spaq(PICTURE[None], tmp_path / "spaq.npz") / 100
    )


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"params": {"head.weight": torch.zeros(10, 384)}}, tmp_path / "ava.pth")
    with pytest.raises(WeightsError, match="is not of MUSIQ with one score"):
        load_musiq(tmp_path / "ava.pth")
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_musiq(tmp_path / "broken.npz")
