"""Counts the values of all tensors alive while operations run: what a footprint is held against."""

import weakref
from collections.abc import Iterable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LivingTensors(TorchDispatchMode):
    """Within the block, follow every storage from the operation that makes it to its end.

    Args:
        modules: whose parameters are not counted.
        inputs: tensors that were there before and are not counted either.
    """

    def __init__(self, *modules: torch.nn.Module, inputs: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.most = self.bytes = 0
        parameters = (parameter for module in modules for parameter in module.parameters())
        self._known = [tensor.untyped_storage() for tensor in (*parameters, *inputs)]
        self._sizes = {storage._cdata: 0 for storage in self._known}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self._sizes:
                self._follow(tensor.untyped_storage())
        self.most = max(self.most, self.bytes)
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        self._sizes[key] = storage.nbytes()
        self.bytes += storage.nbytes()
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.bytes -= self._sizes.pop(key)
