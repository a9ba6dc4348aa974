"""The wrappers between a network and a solver: what the network is shown, guidance, windows."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from venhancer.diffusion.denoiser import Continued, Denoiser, Guided, Tiled, Windowed
from venhancer.diffusion.samplers import sample_ddim, sample_dpmpp_2m_sde, sample_heun
from venhancer.diffusion.schedule import Schedule, solver_from_noisy
from venhancer.windows import Tile, blend_weights, split_tiles, tile_weights

SCHEDULE = Schedule()


def some_latents(seed=0, batch=2, frames=6):
    return torch.randn(batch, 4, frames, 4, 6, generator=torch.Generator().manual_seed(seed))


class ToyNetwork:
    """A network with one weight a prompt, which remembers what it was shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, x_t, timesteps, prompts):
        self.seen.append((x_t, timesteps, prompts))
        return [prompt * x_t + 0.1 * torch.ones_like(x_t) for prompt in prompts]


# Denoiser.


def test_denoiser_undoes_noise_when_v_is_right():
    x0, eps = some_latents(0), some_latents(1)
    sigma = SCHEDULE.sigma_at(640)
    x = solver_from_noisy(SCHEDULE.add_noise(x0, eps, 640), sigma)
    denoise = Denoiser(lambda x_t, timesteps: SCHEDULE.velocity(x0, eps, timesteps), SCHEDULE)
    assert_close(denoise(x, sigma), x0, rtol=1e-4, atol=1e-4)


def test_denoiser_starts_from_pure_noise():
    eps = some_latents(1)
    denoise = Denoiser(lambda x_t, timesteps: -some_latents(2), SCHEDULE)  # at alpha_t = 0, v is -x0
    assert_close(denoise(eps, float("inf")), some_latents(2), rtol=0, atol=0)


@pytest.mark.parametrize(("timestep", "told"), [(899, 899), (881.353, 881), (786.5, 786), (111.5, 112), (999, 999)])
def test_network_is_told_the_nearest_whole_timestep(timestep, told):
    shown = []

    def predict_v(x_t, timesteps):
        shown.append((x_t, timesteps))
        return torch.zeros_like(x_t)

    x_t, sigma = some_latents(), SCHEDULE.sigma_at(timestep)
    Denoiser(predict_v, SCHEDULE)(solver_from_noisy(x_t, sigma), sigma)
    assert_close(shown[0][1], torch.tensor([told, told]))
    assert_close(shown[0][0], x_t)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_only_the_network_works_in_its_own_dtype(dtype):
    network = ToyNetwork()
    predict_v = Guided(network, 0.5, 0.2, guidance_scale=3.0, guidance_rescale=0.2)
    out = Denoiser(predict_v, SCHEDULE, dtype=dtype)(some_latents(), 2.0)
    assert network.seen[0][0].dtype == dtype
    assert out.dtype == torch.float32


# Guidance.


def test_guidance_scale_one_asks_once_and_changes_nothing():
    network = ToyNetwork()
    guided = Guided(network, 0.5, 0.2, guidance_scale=1.0, guidance_rescale=0.2)
    x_t, timesteps = some_latents(), torch.tensor([500, 500])
    v = guided(x_t, timesteps)
    ((_, _, prompts),) = network.seen
    assert prompts == [0.5]
    assert_close(v, network(x_t, timesteps, [0.5])[0], rtol=0, atol=0)


def test_guidance_asks_for_both_prompts_at_once():
    network = ToyNetwork()
    Guided(network, 0.5, 0.2, guidance_scale=7.5, guidance_rescale=0.2)(some_latents(), torch.tensor([500, 500]))
    ((_, _, prompts),) = network.seen
    assert prompts == [0.5, 0.2]


def test_guidance_leads_away_from_the_negative_prompt():
    x_t, timesteps = some_latents(), torch.tensor([500, 500])
    v = Guided(ToyNetwork(), 0.5, 0.2, guidance_scale=3.0, guidance_rescale=0.0)(x_t, timesteps)
    assert_close(v, (0.2 + 3 * 0.3) * x_t + 0.1)


def test_full_rescale_gives_each_sample_the_spread_of_its_prompt():
    x_t, timesteps = some_latents() * torch.tensor([1.0, 9.0]).view(2, 1, 1, 1, 1), torch.tensor([500, 500])
    v = Guided(ToyNetwork(), 0.5, 0.2, guidance_scale=7.5, guidance_rescale=1.0)(x_t, timesteps)
    assert_close(v.std(dim=(1, 2, 3, 4)), (0.5 * x_t).std(dim=(1, 2, 3, 4)))


# Windows.


def denoise_by_halving(x, sigma):
    return x / (1 + sigma)


def test_one_window_over_everything_equals_none():
    x = some_latents()
    windowed = Windowed(lambda x, sigma, _: denoise_by_halving(x, sigma), [range(6)], [torch.ones(6)])
    assert_close(windowed(x, 2.0), denoise_by_halving(x, 2.0), rtol=0, atol=0)


@pytest.mark.parametrize("array", [torch.tensor, np.array], ids=["torch", "numpy"])
def test_windows_blend_by_their_weights(array):
    windows, weights = [range(4), range(2, 6)], [array([1.0, 1.0, 1.0, 0.5]), array([0.0, 0.5, 1.0, 1.0])]
    windowed = Windowed(lambda x, sigma, window: torch.full_like(x, window.start), windows, weights)
    of_frames = windowed(some_latents(), 2.0)[0, 0, :, 0, 0]
    assert of_frames.tolist() == [0.0, 0.0, 0.0, 1.0, 2.0, 2.0]


def test_each_window_sees_its_own_frames():
    x, seen = some_latents(), {}

    def denoise_window(x, sigma, window):
        seen[window] = x
        return x

    windows = [range(4), range(4, 6)]
    out = Windowed(denoise_window, windows, [torch.ones(4), torch.ones(2)])(x, 2.0)
    assert_close(seen[windows[1]], x[:, :, 4:])
    assert_close(out, x, rtol=0, atol=0)


def test_a_weight_list_too_few_is_refused():
    windowed = Windowed(lambda x, sigma, window: x, [range(4), range(2, 6)], [torch.ones(4)])
    with pytest.raises(ValueError, match="shorter"):
        windowed(some_latents(), 2.0)


@pytest.mark.parametrize("sample", [sample_ddim, sample_heun, sample_dpmpp_2m_sde])
@pytest.mark.parametrize("sigmas", [[2.0, 0.0], [4.0, 2.0, 1.0, 0.0]])
def test_parts_one_after_the_other_meet_as_windows_do(sample, sigmas):
    """Where a window's x0 is a function of its own frames alone, parts give just what one run gives."""
    x = some_latents(batch=1, frames=10)
    noise = [some_latents(seed, batch=1, frames=10) for seed in range(1, 5)]
    windows = [range(4), range(2, 6), range(4, 10)]

    def denoise_window(x, sigma, window):
        return x * sigma**-1 + window.start

    whole = sample(Windowed(denoise_window, windows, blend_weights(windows)), x, sigmas, noise=noise.__getitem__)

    parts, carried = [], None
    for part, local, shared, handed_on in [
        (range(6), [range(4), range(2, 6)], 0, 2),
        (range(4, 10), [range(6)], 2, 0),
    ]:
        frames = slice(part.start, part.stop)
        own, *weights = blend_weights([range(shared), *local])
        windowed = Windowed(
            lambda x, sigma, window, first=part.start: denoise_window(
                x, sigma, range(window.start + first, window.stop + first)
            ),
            local,
            weights,
        )
        denoise = Continued(windowed, carried, own, handed_on)
        done = sample(denoise, x[:, :, frames], sigmas, noise=lambda step, frames=frames: noise[step][:, :, frames])
        parts.append(done[:, :, : len(part) - handed_on])
        carried = torch.stack(denoise.shared)
    joined = torch.cat(parts, dim=2)
    assert_close(joined[:, :, :5], whole[:, :, :5])  # at weight 0, the later part says nothing of frame 4
    assert_close(joined[:, :, 6:], whole[:, :, 6:])
    apart = (joined - whole)[:, :, 5].abs().max() / whole.abs().max()
    assert apart < 1e-6 if len(sigmas) == 2 else 1e-6 < apart < 0.2  # the earlier part never saw the later one's steps


def test_tiles_of_what_each_pixel_says_alone_are_the_whole_picture():
    x = some_latents().repeat(1, 1, 1, 9, 9)
    height, width = x.shape[-2:]
    tiles = [Tile(rows, columns) for rows in split_tiles(height, 16, 4, 1) for columns in split_tiles(width, 13, 5, 1)]
    seen = []

    def denoise_tile(x, sigma, tile):
        seen.append(tile)
        return denoise_by_halving(x, sigma)

    tiled = Tiled(denoise_tile, tiles, tile_weights(tiles))
    assert len(tiles) > 6
    assert_close(tiled(x, 2.0), denoise_by_halving(x, 2.0))
    assert seen == tiles


def test_tiles_fade_into_one_another():
    tiles = [Tile(range(4), range(8)), Tile(range(4), range(4, 12))]
    tiled = Tiled(lambda x, sigma, tile: torch.full_like(x, tile.columns.start), tiles, tile_weights(tiles))
    row = tiled(torch.zeros(1, 1, 1, 4, 12), 1.0)[0, 0, 0, 0]
    assert row.tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 4]
