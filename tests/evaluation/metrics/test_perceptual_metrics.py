"""Perceptual distances: the published network's numbers, and what any distance must do."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from venhancer.errors import WeightsError
from venhancer.evaluation.metrics.dists import load_dists
from venhancer.evaluation.metrics.lpips import load_lpips, lpips
from venhancer.evaluation.metrics.metric import Subject
from venhancer.evaluation.metrics.registry import score
from venhancer.evaluation.metrics.st_lpips import load_st_lpips, st_lpips

HAS_WEIGHTS = pytest.mark.skipif(find_spec("stlpips_pytorch") is None, reason="stlpips-pytorch is not installed")
SHIFTED = {(64, 64): 0.0048117, (97, 131): 0.0036848}
"""The program of `stlpips-pytorch` 0.0.2 on `noise` of a size and the mean of it and its neighbour to the left."""


def noise(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((1, 3, height, width))).float()


@HAS_WEIGHTS
@pytest.mark.parametrize("size", SHIFTED, ids=str)
def test_st_lpips_is_the_published_programs(size):
    picture = noise(*size)
    blurred = (picture + torch.roll(picture, 1, 3)) / 2
    assert float(load_st_lpips()(picture, blurred)) == pytest.approx(SHIFTED[size], rel=1e-4)


@HAS_WEIGHTS
def test_st_lpips_is_zero_for_itself_and_grows_with_blur():
    clip = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    blurred = ((clip.astype(int) + np.roll(clip, 1, axis=2)) // 2).astype(np.uint8)
    assert st_lpips(clip, clip) == 0
    assert st_lpips(blurred, clip) > 0.001


# ---------------------------------------------------------------- weights that the user names


def alexnet() -> nn.Sequential:
    """The convolutions of torchvision's AlexNet at its places, random."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )


def vgg16() -> nn.Sequential:
    """The convolutions of torchvision's VGG-16 at its places, random."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for number, (wide, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        layers += [nn.MaxPool2d(2)] * (number > 0)
        for _ in range(depth):
            layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU()]
            channels = wide
    return nn.Sequential(*layers)


LAST = {"alexnet": (1, 4, 7, 9, 11), "vgg16": (3, 8, 15, 22, 29)}


def activations(network: nn.Sequential, places: tuple[int, ...], x: torch.Tensor) -> list[torch.Tensor]:
    found = []
    for place, layer in enumerate(network):
        x = layer(x)
        found += [x] * (place in places)
    return found


@pytest.mark.parametrize("name", LAST)
@torch.inference_mode()
def test_lpips_is_its_formula_with_the_weights_named(name, tmp_path):
    """Network and channel weights lie in two files of a folder, named as torchvision and LPIPS name them."""
    network = {"alexnet": alexnet, "vgg16": vgg16}[name]()
    a, b = noise(64, 80), noise(64, 80).flip(3)
    scaled = [
        (x * 2 - 1 - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        / torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        for x in (a, b)
    ]
    expected, lins = 0.0, {}
    for number, (x, y) in enumerate(zip(*(activations(network, LAST[name], x) for x in scaled), strict=True)):
        weight = torch.rand(1, x.shape[1], 1, 1)
        lins[f"lin{number}.model.1.weight"] = weight
        difference = x / x.norm(dim=1, keepdim=True) - y / y.norm(dim=1, keepdim=True)
        expected += float((difference**2 * weight).sum(dim=1).mean())
    torch.save({f"features.{key}": value for key, value in network.state_dict().items()}, tmp_path / "network.pth")
    save_file(lins, tmp_path / "lins.safetensors")
    assert float(load_lpips(tmp_path)(a, b)) == pytest.approx(expected, rel=1e-4)
    assert float(load_lpips(tmp_path)(a, a)) == 0


@torch.inference_mode()
def test_dists_is_its_formula_with_the_weights_named(tmp_path):
    """With one channel weighted, the distance is that channel's own: here the picture's red."""
    network = vgg16()
    state = {f"features.{key}": value for key, value in network.state_dict().items()}
    alpha, beta = torch.zeros(1, 1475, 1, 1), torch.zeros(1, 1475, 1, 1)
    alpha[0, 0] = beta[0, 0] = 0.5
    torch.save(state | {"alpha": alpha, "beta": beta}, tmp_path / "dists.pt")
    a, b = noise(48, 48), noise(48, 48).flip(3) * 0.5
    x, y = a[0, 0], b[0, 0]
    means = (2 * x.mean() * y.mean() + 1e-6) / (x.mean() ** 2 + y.mean() ** 2 + 1e-6)
    covariance = (x * y).mean() - x.mean() * y.mean()
    variations = (2 * covariance + 1e-6) / (x.var(correction=0) + y.var(correction=0) + 1e-6)
    assert float(load_dists(tmp_path / "dists.pt")(a, b)) == pytest.approx(
        float(1 - (means + variations) / 2), rel=1e-4
    )


@torch.inference_mode()
def test_dists_of_the_deepest_stage_sees_the_network(tmp_path):
    state = {f"features.{key}": value for key, value in vgg16().state_dict().items()}
    alpha = torch.ones(1, 1475, 1, 1)
    torch.save(state | {"alpha": alpha, "beta": alpha}, tmp_path / "dists.pt")
    distance = load_dists(tmp_path / "dists.pt")
    a = noise(64, 64)
    assert float(distance(a, a)) == pytest.approx(0, abs=1e-4)
    assert 0.01 < float(distance(a, a.flip(3))) < 1


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match=r"contains no 0\.bias; pass the weights of the right network"):
        load_lpips(tmp_path / "part.pth")
    with pytest.raises(WeightsError, match="contains no weights"):
        load_lpips(tmp_path / "nothing")
    (tmp_path / "broken.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match=r"broken\.pth cannot be read"):
        load_dists(tmp_path / "broken.pth")


def test_named_weights_reach_the_metric(tmp_path):
    lins = {f"lin{n}.model.1.weight": torch.ones(1, c, 1, 1) for n, c in enumerate((64, 192, 384, 256, 256))}
    torch.save({f"net.slice1.{key}": value for key, value in alexnet().state_dict().items()} | lins, tmp_path / "a.pth")
    clip = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    subject = Subject(result=clip, reference=clip[::-1], weights={"lpips": tmp_path / "a.pth"})
    found = score(subject, ["lpips"])["lpips"]
    assert found == pytest.approx(lpips(clip, clip[::-1], tmp_path / "a.pth"))
    assert found > 0
