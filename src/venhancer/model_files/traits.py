"""What a plan must know of a model before any weight is read: its sizes, its parameter counts, its sampling defaults.

The published models' traits are constants, so that a plan for them needs no download; every other model's are read
from the JSON files and the safetensors headers of its folder. No torch.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from venhancer.errors import SettingsError, WeightsError
from venhancer.model_files.adapter import AdapterTraits, adapter_of, read_adapter
from venhancer.model_files.folders import EMBEDDED, INDEX_FILE, PUBLISHED, damaged, find_model, read_json
from venhancer.model_files.network_shape import NetworkShape
from venhancer.settings import AnyPath, ColorFix, Penultimate, Posterior, Solver, Timetable, parse_settings
from venhancer.windows import Fade

NETWORKS = ("unet", "controlnet")
COMPANIONS = ("vae", "text_encoder", "motion")
BLOCK = re.compile(r"(encoder\.stages|encoder\.middle|decoder)\.\d+\.")  # of a network: what is computed at once
DECODED_TOGETHER = {"VideoAutoencoder": (5, 2)}  # frames in a window of the temporal decoder, and those that two share

POSITIVE_SUFFIX = (
    "Cinematic, High Contrast, highly detailed, taken using a Canon EOS R camera,   hyper detailed photo - "
    "realistic maximum detail, 32k, Color Grading, ultra HD, extreme meticulous detailing,  skin pore detailing, "
    "hyper sharpness, perfect without deformations."
)
NEGATIVE_PROMPT = (
    "painting, oil painting, illustration, drawing, art, sketch, oil painting, cartoon, CG Style, 3D render, "
    "unreal engine, blurring, dirty, messy, worst quality, low quality, frames, watermark, signature, jpeg artifacts, "
    "deformed, lowres, over-smooth"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingDefaults:
    """How a model samples by default; each field is the setting of the same name."""

    steps: int = 15
    solver: Solver = "dpmpp_2m_sde"
    timetable: Timetable = "trailing"
    penultimate: Penultimate = "keep"
    guidance_scale: float = 7.5
    guidance_rescale: float = 0.2
    guidance_from: int = 999
    guidance_until: int = 0
    feature_reuse: float = 0.0
    noise_augmentation: int = 200
    start_timestep: int = 899
    start_noise: float = 1.0
    posterior: Posterior = "mode"
    window_frames: int = 32
    window_overlap: int = 3
    window_fade: Fade = "published"
    color_fix: ColorFix = "none"
    prompt_suffix: str = ""
    negative_prompt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTraits:
    """What a plan must know of a model.

    Args:
        name: as requested: "nano", "v1", "v2" or a folder.
        pixels_per_latent: side of the square of pixels behind one latent.
        latent_channels: channels of the autoencoder's latents.
        network: shape of the base network and, up to its decoder, of the ControlNet.
        parameters: of both networks together.
        companion_parameters: of the autoencoder and the text encoder together, and of adapters that stay apart.
        largest_component: parameters of the largest of the four.
        largest_group: of the largest of what comes to a device by itself: a group of blocks, or one of the companions.
        text_tokens: length of the text embeddings.
        autoencoder_width: channels of the autoencoder's widest features at full size; 0 if it is linear.
        samples_keys: whether only key frames go through the networks, and those between are made from them.
        steadying: how strongly the most noise augmentation averages key frames along their motion.
        enlarging: how key frames are brought to the output's size, see `venhancer.frames.enlarging`.
        decode_window: frames that the autoencoder decodes together.
        decode_overlap: frames that two such windows share.
        takes_guidance: whether the guidance scale is an input of the base network, so that guidance takes one forward.
        adapter: what adapts the model, if anything.
        decoder: file of the decoder that takes the place of the autoencoder's.
        defaults: how it samples by default.
    """

    name: str
    pixels_per_latent: int = 8
    latent_channels: int = 4
    network: NetworkShape = field(default_factory=NetworkShape)
    parameters: int
    companion_parameters: int
    largest_component: int
    largest_group: int
    text_tokens: int = 77
    autoencoder_width: int = 256
    samples_keys: bool = False
    steadying: float = 0.0
    enlarging: Literal["bilinear", "bicubic", "sharp"] = "bilinear"
    decode_window: int = 1
    decode_overlap: int = 0
    takes_guidance: bool = False
    adapter: AdapterTraits | None = None
    decoder: Path | None = None
    defaults: SamplingDefaults = field(default_factory=SamplingDefaults)

    @property
    def release(self) -> Literal["v1", "v2"] | None:
        """Which published release a model is like: v1's decodes frames one by one, v2's several together."""
        if not self.autoencoder_width or self.samples_keys or self.steadying or self.pixels_per_latent != 8:
            return None
        return "v1" if self.decode_window == 1 else "v2"

    @property
    def keeps_freed_memory(self) -> bool:
        """Whether programs keep freed memory, see `venhancer.runtime.heap`: worth it where networks are small."""
        return not self.autoencoder_width

    def decodable(self, start: int, stop: int) -> int:
        """Return how far frames from `start` on can be finished while latents from `stop` on are still missing.

        >>> load_traits("v2").decodable(0, 9)
        6
        """
        stride = self.decode_window - self.decode_overlap
        return start + max(0, (stop - start - self.decode_overlap) // stride) * stride

    def configured(self, config: Mapping[str, Any]) -> "ModelTraits":
        """Return the traits with what a pipeline's own config says of how it samples.

        Raises:
            WeightsError: the config has wrong defaults.
        """
        return replace(
            self,
            samples_keys=config.get("between") == "interpolate",
            steadying=config.get("steadying", 0.0),
            enlarging=config.get("enlarging", "bilinear"),
            defaults=parse_defaults(self.name, config),
        )


_OPEN_CLIP_TEXT = 340_387_840
_UNET = 1_411_233_860
_PUBLISHED = {
    "v1": ModelTraits(
        name="v1",
        parameters=2_044_809_796,
        companion_parameters=83_653_863 + _OPEN_CLIP_TEXT,
        largest_component=_UNET,
        largest_group=_OPEN_CLIP_TEXT,
        defaults=SamplingDefaults(
            steps=50,
            penultimate="drop",
            posterior="sample",
            color_fix="wavelet",
            prompt_suffix=POSITIVE_SUFFIX,
            negative_prompt=NEGATIVE_PROMPT,
        ),
    ),
    "v2": ModelTraits(
        name="v2",
        parameters=2_044_809_796,
        companion_parameters=97_742_847 + _OPEN_CLIP_TEXT,
        largest_component=_UNET,
        largest_group=_OPEN_CLIP_TEXT,
        decode_window=DECODED_TOGETHER["VideoAutoencoder"][0],
        decode_overlap=DECODED_TOGETHER["VideoAutoencoder"][1],
        defaults=SamplingDefaults(
            steps=14,
            timetable="fast",
            penultimate="drop",
            posterior="sample",
            color_fix="wavelet",
            prompt_suffix=POSITIVE_SUFFIX,
            negative_prompt=NEGATIVE_PROMPT,
        ),
    ),
}


def load_traits(
    model: str, adapter: AnyPath | None = None, decoder: AnyPath | None = None, *, adapter_apart: bool = False
) -> ModelTraits:
    """Return the traits of "nano", "v1", "v2" or the model in a pipeline folder.

    Args:
        model: its name, or its folder.
        adapter: file of adapters; left out, the one that a folder carries.
        decoder: file of a tiny decoder; left out, the autoencoder decodes.
        adapter_apart: whether the adapters stay beside the weights instead of being merged into them.

    Raises:
        SettingsError: there is no such model, its latents are not those that tiny decoders know, or there are no
            adapters to keep apart.
        WeightsError: the folder is incomplete or describes no model of ours, or the adapter is none.
    """
    traits = _PUBLISHED[model] if model in PUBLISHED else _traits_of_folder(model)
    if decoder is not None:
        if traits.release is None:
            raise SettingsError(
                f"--decoder is for the latents of v1, v2 and models trained from them, and those of {model} are "
                f"others; omit it"
            )
        traits = replace(traits, decoder=Path(decoder), decode_window=1, decode_overlap=0)
    if (file := adapter_of(model, adapter)) is None:
        if adapter_apart:
            raise SettingsError(f"--adapter-apart needs adapters, and {model} has none; pass --adapter too, or omit it")
        return traits
    own = replace(read_adapter(file), is_apart=adapter_apart)
    return replace(
        traits,
        companion_parameters=traits.companion_parameters + (own.parameters if adapter_apart else 0),
        takes_guidance=traits.takes_guidance or own.takes_guidance,
        adapter=own,
        defaults=SamplingDefaults(**adapted_defaults(str(file), asdict(traits.defaults), own.defaults)),
    )


def adapted_defaults(file: str, defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's sampling defaults with those of a file of adapters laid over them.

    Raises:
        WeightsError: one cannot be, or is none that a model sets.
    """
    parse_defaults(file, {"defaults": own})
    return {**defaults, **own}


def _traits_of_folder(model: str) -> ModelTraits:
    if model != EMBEDDED and not (Path(model) / INDEX_FILE).is_file():
        names = ", ".join((EMBEDDED, *PUBLISHED))
        raise SettingsError(f"model {model!r} is unknown; pass --model {names} or a folder with a {INDEX_FILE}")
    folder = find_model(model)
    index, network, autoencoder = (
        read_json(folder / name) for name in (INDEX_FILE, "unet/config.json", "vae/config.json")
    )
    control_file = folder / "controlnet" / "config.json"
    control = read_json(control_file) if control_file.is_file() else {}
    text = folder / "text_encoder" / "config.json"
    is_linear = "patch" in autoencoder
    decode_window, decode_overlap = DECODED_TOGETHER.get(autoencoder.get("_class_name", ""), (1, 0))
    try:
        latent_channels = autoencoder["latent_channels"]
        networks, companions = (_count_parameters(folder, names) for names in (NETWORKS, COMPANIONS))
        return ModelTraits(
            name=model,
            pixels_per_latent=autoencoder["patch"] if is_linear else 2 ** (len(autoencoder["block_out_channels"]) - 1),
            latent_channels=latent_channels,
            network=NetworkShape(
                **_known_fields(NetworkShape, network),
                control_channels=control["base_channels"] if control.get("residual_channels") else None,
            ),
            parameters=networks.total(),
            companion_parameters=companions.total(),
            largest_component=_largest(networks | companions),
            largest_group=max(*networks.values(), _largest(companions)),
            text_tokens=read_json(text)["max_position_embeddings"] if text.is_file() else 77,
            autoencoder_width=0 if is_linear else autoencoder["block_out_channels"][1],
            decode_window=decode_window,
            decode_overlap=decode_overlap,
            takes_guidance=network.get("guidance_input", False),
        ).configured(index)
    except (KeyError, IndexError) as error:
        raise WeightsError(f"model folder {folder} does not state {error}; copy or convert the model again") from error
    except ValueError as error:
        raise WeightsError(f"{folder / 'unet' / 'config.json'}: {error}; copy or convert the model again") from error


def _known_fields(kind: type, config: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a config that are fields of `kind`, lists as tuples."""
    names = {field.name for field in fields(kind)}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items() if key in names}


def parse_defaults(model: str, config: Mapping[str, Any]) -> SamplingDefaults:
    """Return a model's own sampling defaults, each checked like a setting.

    Raises:
        WeightsError: one cannot be, or is none that a model sets.
    """
    defaults = {name: value for name, value in (config.get("defaults") or {}).items() if value is not None}
    try:
        checked = parse_settings(**defaults)
    except SettingsError as error:
        raise WeightsError(f"model {model} has wrong defaults: {error}") from error
    if unknown := defaults.keys() - {field.name for field in fields(SamplingDefaults)}:
        raise WeightsError(f"model {model} has defaults for {', '.join(sorted(unknown))}, which models cannot set")
    return SamplingDefaults(**{name: getattr(checked, name) for name in defaults})


def _count_parameters(folder: Path, components: tuple[str, ...]) -> Counter[tuple[str, str]]:
    """Return how many values the weight files of some components hold, by component and block, from their headers."""
    sizes = Counter[tuple[str, str]]()
    for path in (path for name in components for path in sorted((folder / name).glob("*.safetensors"))):
        name = path.parent.name
        try:
            with safe_open(path, framework="numpy") as tensors:
                for key in tensors.keys():  # noqa: SIM118 - it is no mapping
                    block = BLOCK.match(key) if name in NETWORKS else None
                    sizes[name, block[0] if block else ""] += math.prod(tensors.get_slice(key).get_shape())
        except SafetensorError as error:
            raise damaged(path, error) from error
    if sizes.total() == 0:
        raise WeightsError(f"model folder {folder} has no weights in {' or '.join(components)}; convert it again")
    return sizes


def _largest(sizes: Counter[tuple[str, str]]) -> int:
    """Return how many values the largest component holds."""
    totals = Counter[str]()
    for (name, _), size in sizes.items():
        totals[name] += size
    return max(totals.values())
