"""A method's pass over the run's own rows, once its adapter is on the base."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from adapter_hub.errors import AdapterHubError, TrainingError
from adapter_hub.isolation import one_line, talk_on_stderr
from adapter_hub.loading.memory import memory_shortage
from adapter_hub.training.batches import collate
from adapter_hub.training.build import require_trainable

if TYPE_CHECKING:
    from accelerate import Accelerator

    from adapter_hub.model import TrainingSettings
    from adapter_hub.plugins import Offer
    from adapter_hub.training.prepare import Job

_NO_LOSS = -100


def set_up(
    method: Offer, job: Job, model: Any, accelerator: Accelerator, settings: TrainingSettings
) -> None:
    """Call the method's ``after_adapter``, the model on the device that it is trained on.

    Only FSDP has it elsewhere still: one device may not hold the whole. Raises TrainingError, and
    what the method itself raises in ``adapter_hub.errors``.
    """
    if settings.quantize == "none" and not accelerator.is_fsdp2:
        model.to(accelerator.device)
    training = model.training
    shortage = memory_shortage(
        f"the set-up of method {method.name!r}", "try a smaller --batch-size or --max-length"
    )
    try:
        with talk_on_stderr(), shortage:
            job.hooks.after_adapter(model, lambda: _epoch(job, next(model.parameters()).device))
    except AdapterHubError:
        raise
    except Exception as error:
        raise TrainingError(
            f"the set-up of method {method.name!r} before the first step failed: {one_line(error)}.",
            hint=f"adapter-hub methods {method.name}",
        ) from error
    model.train(training)
    require_trainable(method, model.get_nb_trainable_parameters()[0])


def _epoch(job: Job, device: torch.device) -> Iterator[dict[str, torch.Tensor]]:
    """The batches of the first epoch, those of all processes, in the order of the steps."""
    steps = map(job.schedule.step, itertools.count())
    batches = itertools.chain.from_iterable(steps)
    for indices in itertools.islice(batches, job.schedule.batches_per_epoch):
        batch = collate(job.examples, indices, job.tokenizer.pad_token_id, device)
        yield {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask.long(),
            "labels": batch.input_ids.masked_fill(~batch.loss, _NO_LOSS),
        }
