"""A model in memory that can be had back as it was loaded, whatever was built into it since.

PEFT's ways of taking an adapter out differ by method, and some have none. So the model's own
structure is remembered instead: every attribute of every module. What an adapter puts in hangs on
these, and goes with them; numbers that it changed in place are noticed, and cannot be had back.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch

_CONTAINERS = (dict, set, list)
Fingerprint = list[tuple[torch.Size, torch.dtype, int]]


class Pristine:
    """Remembers ``model`` as it is now; it is put into that state again by ``restore``."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._modules = list(model.modules())
        self._classes = [type(each) for each in self._modules]
        self._attributes = [_shallow(vars(each)) for each in self._modules]
        self._tensors = [*model.parameters(), *model.buffers()]
        self._trainable = [each.requires_grad for each in self._tensors]
        self._configs = list(_configs(self._modules))
        self._settings = [self._copied(vars(each)) for each in self._configs]
        self._fingerprint = self._numbers()

    def restore(self) -> bool:
        """Undo all but changes of the numbers; whether there were none of these."""
        for module, kind, attributes in zip(
            self._modules, self._classes, self._attributes, strict=True
        ):
            module.__class__ = kind
            vars(module).clear()
            for name, (value, content) in attributes.items():
                if content is not None:
                    _refill(value, content)
                vars(module)[name] = value
        for config, settings in zip(self._configs, self._settings, strict=True):
            vars(config).clear()
            vars(config).update(self._copied(settings))
        for tensor, trainable in zip(self._tensors, self._trainable, strict=True):
            tensor.grad = None
            tensor.requires_grad_(trainable)
        return self.is_unchanged()

    def is_unchanged(self) -> bool:
        """Whether parameters and buffers have the numbers of then, whatever is around them."""
        return self._numbers() == self._fingerprint

    def _numbers(self) -> Fingerprint:
        return [(each.shape, each.dtype, _sum_of_words(each)) for each in self._tensors]

    def _copied(self, settings: dict[str, Any]) -> dict[str, Any]:
        """A deep copy, in which configurations stay the objects that modules share."""
        return copy.deepcopy(settings, {id(each): each for each in self._configs})


def _shallow(attributes: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Each attribute with a copy of what is in it, where it is a container of others."""
    return {
        name: (value, copy.copy(value) if isinstance(value, _CONTAINERS) else None)
        for name, value in attributes.items()
    }


def _refill(container: Any, content: Any) -> None:
    """The same object as before: others may hold it, such as the handle of a hook."""
    container.clear()
    if isinstance(container, list):
        container.extend(content)
    else:
        container.update(content)


def _configs(modules: list[torch.nn.Module]) -> Iterator[Any]:
    """The configurations that the modules hold, and those inside these, each once."""
    from transformers import GenerationConfig, PreTrainedConfig

    seen: dict[int, Any] = {}
    waiting = [value for module in modules for value in vars(module).values()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (PreTrainedConfig, GenerationConfig)) and id(value) not in seen:
            seen[id(value)] = value
            waiting.extend(vars(value).values())
    yield from seen.values()


def _sum_of_words(tensor: torch.Tensor) -> int:
    """A number that changes with nearly every change of the bytes: the sum of its 8-byte words."""
    if not tensor.numel():
        return 0
    octets = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    if octets.storage_offset() % 8:
        octets = octets.clone()
    whole = len(octets) // 8 * 8
    words = octets[:whole].view(torch.int64).sum()
    return int(words) + int(octets[whole:].sum())
