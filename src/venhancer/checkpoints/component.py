"""One component of a pipeline folder before it is written: a model without values, and where each value comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor
from transformers import CLIPTextModel

from venhancer.checkpoints.reading import Shape
from venhancer.checkpoints.writing import write_safetensors
from venhancer.progress import Progress


@dataclass(frozen=True, slots=True)
class Component:
    """A model on the meta device and a way to read its parameters.

    Args:
        name: the component's sub-folder.
        model: the model, without values.
        read: gives a parameter of the model by name, in its shape.
    """

    name: str
    model: ModelMixin | CLIPTextModel
    read: Callable[[str], Tensor]

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shape of every parameter."""
        return {key: tuple(value.shape) for key, value in self.model.state_dict().items()}

    @property
    def class_path(self) -> tuple[str, str]:
        """Module and class that load this component again, as `model_index.json` names them."""
        return ("transformers" if self._is_transformers else "venhancer.models", type(self.model).__name__)

    @property
    def _is_transformers(self) -> bool:
        return isinstance(self.model, CLIPTextModel)

    def write(self, folder: Path, *, dtype: str, progress: Progress) -> None:
        """Write `config.json` and the weights under the names that `from_pretrained` looks for."""
        folder.mkdir()
        if isinstance(self.model, CLIPTextModel):
            self.model.config.architectures = [type(self.model).__name__]
            self.model.config.save_pretrained(folder)
        else:
            self.model.save_config(folder)
        name = "model" if self._is_transformers else "diffusion_pytorch_model"
        write_safetensors(folder / f"{name}.safetensors", self.shapes, self.read, dtype=dtype, progress=progress)
