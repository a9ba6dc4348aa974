"""VEnhancer's nodes for ComfyUI; copy or link this folder into `custom_nodes`."""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
