"""Under which terms code and weights stand, as records of outputs tell them. Nothing here is legal advice."""

from pathlib import Path

from venhancer.durable import sha256_of
from venhancer.model_files.folders import EMBEDDED, PUBLISHED, find_model

CODE = "Apache-2.0"
GENERATED = "Contains detail that a model generated. It is plausible, not evidence of what was in front of the camera."
UNSTATED = "not stated by their authors"
TERMS = {
    "unet": UNSTATED,
    "controlnet": UNSTATED,
    "text_encoder": "mit, as the page of laion/CLIP-ViT-H-14-laion2B-s32B-b79K states",
    "v1": "openrail++, as the page of stabilityai/stable-diffusion-2-1-base states",
    "v2": "stable-video-diffusion-community, as the page of stabilityai/stable-video-diffusion-img2vid states",
}
"""Of the published models' components, by their makers' pages on Hugging Face; the autoencoder's by release."""


def describe_weights(model: str) -> list[dict[str, str]]:
    """Return each weight file of a model: its name, SHA-256 and licence.

    Raises:
        WeightsError: the model does not exist.
    """
    folder = find_model(model)
    return [
        {
            "file": path.relative_to(folder).as_posix(),
            "sha256": sha256_of(path),
            "licence": _licence(model, folder, path.parent.name),
        }
        for path in sorted(folder.rglob("*.safetensors"))
    ]


def _licence(model: str, folder: Path, component: str) -> str:
    if model == EMBEDDED:
        return CODE
    if model in PUBLISHED:
        return TERMS.get(component, TERMS[model])
    own = next((path for name in ("LICENSE", "LICENCE", "LICENSE.txt") if (path := folder / name).is_file()), None)
    return "not stated in the model's folder" if own is None else f"see {own.name} in the model's folder"
