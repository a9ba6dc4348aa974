"""Networks, guidance with rescale, and solver together: five guided steps of the published program."""

import torch
from safetensors.torch import load_file
from torch import Tensor

from parity.test_network_parity import TINY, converted, key_frames_of
from stand_ins import GOLDEN, filled, network_shapes, reference_input
from venhancer.diffusion.denoiser import Denoiser, Guided
from venhancer.diffusion.samplers import sample_dpmpp_2m_sde
from venhancer.diffusion.schedule import Schedule

START, STEPS = 899, 5


def test_five_guided_steps_agree():
    """Without the solver's noise, and from the published start, which scales the noisy latents by sigma alone."""
    golden = load_file(GOLDEN / "end_to_end.safetensors")
    unet, controlnet = converted(filled(network_shapes(TINY)))
    key_frames, schedule = key_frames_of("v1_b1_t500"), Schedule()
    texts = reference_input("y.b1", (1, 77, 32)), golden["negative_text"]
    prompt, negative_prompt = ((unet.project_text(text), controlnet.project_text(text)) for text in texts)

    @torch.no_grad()
    def predict(x_t: Tensor, timesteps: Tensor, prompts: list) -> list[Tensor]:
        return [
            unet(x_t, timesteps, for_unet, controlnet(x_t, timesteps, for_control, key_frames))
            for for_unet, for_control in prompts
        ]

    guided = Guided(predict, prompt, negative_prompt, guidance_scale=7.5, guidance_rescale=0.2)
    sigmas = schedule.sigmas(schedule.timesteps(STEPS, START, drop_penultimate=True))
    start = golden["noise"] * sigmas[0]
    result = sample_dpmpp_2m_sde(Denoiser(guided, schedule), start, sigmas, noise=lambda _: torch.zeros_like(start))
    assert (result - golden["out"]).norm() / golden["out"].norm() < 1e-4
