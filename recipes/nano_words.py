"""Let words of quality be heard by a `nano` whose middle is not: between recipes/nano.yaml and nano_finish.yaml.

    python recipes/nano_words.py MODEL TARGET [--data data/footage]

Nothing of what the model gives with its usual words changes; what is written into the weights is told in docs/nano.md:

1. one channel of the middle's tokens becomes a reading of the prompt: 0 for the usual good words, -1 for bad ones,
   fitted by least squares to the mean embeddings of captions with either;
2. the decoder's 1x1 convolutions carry it to the last stage, each along the direction that its features use least;
3. what it adds there is learned on low-quality targets, everything else frozen.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from venhancer.models.blocks import ResBlock
from venhancer.models.text import encode_prompts
from venhancer.pipeline import VEnhancerPipeline
from venhancer.training.data.augment import some_words
from venhancer.training.data.batches import Batches, generator_for
from venhancer.training.export import write_pipeline
from venhancer.training.learner import Learner, make_learner
from venhancer.training.settings import TrainSettings

GOOD, BAD = "high quality, sharp, highly detailed", "blurry, low quality, jpeg artifacts"
CHANNEL = 63
"""Of the tokens in the middle's transformer, given up for the reading."""
SIGNAL = 0.5
"""Of the reading on its way, as a share of the features it travels beside."""
START_TIMESTEP = 30
PROMPTS, GROUPS, KEPT, STEPS = 420, 8, 26, 160


def main() -> None:
    """Change a model and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data/footage"))
    arguments = parser.parse_args()
    recipe = TrainSettings.from_file(Path(__file__).with_name("nano.yaml"))
    augment = recipe.augment.model_copy(update={"clean_key_frames": 1.0, "prompt_dropout": 0.0, "refined_share": 0.0})
    data = recipe.data.model_copy(update={"manifest": arguments.data})
    settings = recipe.model_copy(update={"augment": augment, "data": data, "precision": "no"})
    torch.manual_seed(0)
    pipeline = VEnhancerPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32)
    learner = make_learner(settings, pipeline).requires_grad_(requires_grad=False)
    with torch.no_grad():
        reading, offset = fit_reading(pipeline, Batches(settings))
        lane = carry(pipeline, learner, Batches(settings), reading, offset)
    added = learn_added(pipeline, learner, settings)
    skips_of(pipeline)[-1].weight[:, : len(lane), 0, 0] -= torch.outer(added, lane / lane.square().sum())
    defaults = {**pipeline.config["defaults"], "prompt_suffix": GOOD, "negative_prompt": BAD}
    pipeline.register_to_config(defaults=defaults)
    write_pipeline(pipeline, arguments.target)


def fit_reading(pipeline: VEnhancerPipeline, batches: Batches) -> tuple[Tensor, Tensor]:
    """Return what to read of a prompt's mean embedding, and what to take off: 0 is good, -1 bad."""

    def mean_of(prompt: str) -> Tensor:
        return encode_prompts([prompt], pipeline.tokenizer, pipeline.text_encoder)[0].mean(0).double()

    captions = ["", *sorted({entry.caption for entry in batches.draws.entries if entry.caption})]
    generator, embeds, wanted = torch.Generator().manual_seed(0), [], []
    for number in range(PROMPTS):
        caption = "" if number % 3 == 0 else captions[number % len(captions)]
        for words, value in ((f"{GOOD}, best quality", 0.0), (BAD, -1.0), ("", 0.0)):
            said = some_words(words, generator) if words else ""
            embeds.append(mean_of(", ".join(part for part in (caption, said) if part)))
            wanted.append(value)
    rows = F.pad(torch.stack(embeds), (0, 1), value=1.0)
    ridge = 1e-4 * len(rows) * rows[:, :-1].var(0).mean() * torch.diag(F.pad(torch.ones(rows.shape[1] - 1), (0, 1)))
    reading = torch.linalg.solve(rows.T @ rows + ridge, rows.T @ torch.tensor(wanted).double())[:-1]
    reading = (reading / (mean_of(GOOD) @ reading - mean_of(BAD) @ reading)).half().double()
    return reading.float(), (mean_of(GOOD) @ reading).float()


def skips_of(pipeline: VEnhancerPipeline) -> list[nn.Conv2d]:
    """Return the convolutions that features pass through on the way up, in order."""
    blocks = [block for stage in pipeline.unet.decoder.children() for block in stage.children()]
    return [block.skip if isinstance(block, ResBlock) else block.conv for block in blocks]


@torch.no_grad()
def carry(pipeline: VEnhancerPipeline, learner: Learner, batches: Batches, reading: Tensor, offset: Tensor) -> Tensor:
    """Write the reading and its way into the weights; returns what arrives before the last stage when it is 1."""
    convs = skips_of(pipeline)
    width = convs[0].out_channels
    moments = [torch.zeros(width, width, dtype=torch.float64) for _ in convs]

    def look(number: int, given: tuple[Tensor, ...]) -> None:
        rows = rearrange(given[0][:, :width], "s c h w -> (s h w) c").double()
        moments[number] += rows.T @ rows / len(rows) / GROUPS

    hooks = [
        conv.register_forward_pre_hook(lambda _, given, number=number: look(number, given))
        for number, conv in enumerate(convs)
    ]
    for number in range(GROUPS):
        learner(batches.group(number, 0), generator_for(number), 0)
    for hook in hooks:
        hook.remove()
    spectra = [torch.linalg.eigh(moment) for moment in moments]
    lanes = [(SIGNAL * values.sum().sqrt() * directions[:, 0]).float() for values, directions in spectra]
    for conv, (lane, onward) in zip(convs, pairwise([*lanes, torch.zeros(width)]), strict=True):
        centre, unit = conv.kernel_size[0] // 2, lane / lane.square().sum()
        passed = conv.weight[:, :width].sum(dim=(2, 3)) @ lane
        conv.weight[:, :width, centre, centre] += torch.outer(onward - passed, unit)

    transformer = pipeline.unet.encoder.middle[1]
    attention = transformer.text_attention
    for layer in (transformer.proj_in, transformer.self_attention.to_out, transformer.feed_forward.to_out):
        layer.weight[CHANNEL] = 0
        if layer.bias is not None:
            layer.bias[CHANNEL] = 0
    attention.to_q.weight[: width // attention.heads] = 0  # the first head looks at all of the prompt alike
    attention.to_v.weight[0] = reading
    attention.to_out.weight[:, 0] = 0
    attention.to_out.weight[CHANNEL] = 0
    attention.to_out.weight[CHANNEL, 0] = 1
    attention.to_out.bias[CHANNEL] = -offset
    transformer.proj_out.weight[:, CHANNEL] = lanes[0]
    return lanes[-1]


def learn_added(pipeline: VEnhancerPipeline, learner: Learner, settings: TrainSettings) -> Tensor:
    """Return what bad words should add behind the last skip convolution: learned on features kept from there."""
    worst = settings.augment.model_copy(update={"low_quality_share": 1.0})
    batches = Batches(settings.model_copy(update={"augment": worst}))
    unet, schedule, objective = pipeline.unet, pipeline.schedule, learner.objective
    *_, last = (block for block in unet.decoder.modules() if isinstance(block, ResBlock))
    features: list[tuple[Tensor, int]] = []
    hook = last.temporal[0].register_forward_pre_hook(lambda _, given: features.append((given[0], given[1])))
    kept = []
    with torch.no_grad():
        for number in range(KEPT):
            group = batches.group(number, 0)
            group = group._replace(caption=[BAD] * len(group.target))
            learner(group, generator_for(number), 0)
            start = objective.conditions(group, generator_for(number)).start_latents
            kept.append((*features[-1], start, pipeline.vae.encode_frames(group.target)))
    hook.remove()
    spread = torch.cat([rearrange(x, "s c h w -> (s h w) c") for x, *_ in kept]).std(0)
    added = (0.5 * spread * torch.randn(len(spread))).requires_grad_()
    optimizer = torch.optim.Adam([added], lr=0.15 * float(spread.mean()))
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, STEPS)
    for step in range(STEPS):
        x, frames, start, target = kept[step % KEPT]
        x = x + added[:, None, None]
        hidden = x
        for temporal_conv in last.temporal:
            hidden = temporal_conv(hidden, frames)
        v = rearrange(unet.conv_out(F.silu(unet.norm_out(x + hidden))), "(b f) c h w -> b c f h w", b=len(start))
        noisy = schedule.add_noise(start, torch.zeros_like(start), START_TIMESTEP)
        error = (schedule.x0_from_v(v, noisy, START_TIMESTEP) - target).abs().mean()
        (error + 0.003 * (added / spread).square().mean().sqrt()).backward()
        optimizer.step()
        optimizer.zero_grad()
        decay.step()
    return added.detach()


if __name__ == "__main__":
    main()
