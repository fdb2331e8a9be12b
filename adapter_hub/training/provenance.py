"""What ``adapter_hub.json`` says of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapter_hub.model import Base
from adapter_hub.training.plan import Plan, resolved, without_machine_paths
from adapter_hub.training.prepare import Job
from adapter_hub.training.progress import best_evaluation

if TYPE_CHECKING:
    from adapter_hub.training.data import EncodedData
    from adapter_hub.training.progress import Progress
    from adapter_hub.training.sources import DataSource


def provenance(
    plan: Plan,
    job: Job,
    progress: Progress,
    dtype: str,
    parameters: tuple[int, int],
    metrics: dict[str, float],
) -> dict[str, Any]:
    """The record of a run; ``parameters`` are (trainable, all).

    Files of rows are named without their folder, the base as the registry names it.
    """
    best = best_evaluation(progress.evaluations)
    return {
        "adapter": plan.name,
        **_ancestry(plan),
        "recipe": without_machine_paths(resolved(plan.recipe, plan.base)),
        "recipe_digest": plan.digest,
        "base": {
            "name": plan.base.name,
            "source": str(plan.base.source),
            "revision": plan.base.revision,
            "identity": job.identity,
            **_trusted_code(plan.base),
        },
        "method": {
            "name": plan.method.name,
            "peft_type": str(
                getattr(job.peft_config.peft_type, "value", job.peft_config.peft_type)
            ),
            "distribution": plan.method.distribution,
            "version": plan.method.version,
        },
        "plugins": dict(plan.plugins),
        "data": _data_record(job.data, plan.data),
        "eval_data": _data_record(job.held_out_data, plan.held_out)
        if job.held_out_data and plan.held_out
        else {"held_out": len(job.held_out or ())},
        "style": job.data.style,
        "max_length": job.max_length,
        "dtype": dtype,
        "seed": plan.recipe.training.seed,
        "steps": progress.step,
        "tokens": progress.tokens,
        "loss_tokens": progress.loss_tokens,
        "trainable_parameters": parameters[0],
        "total_parameters": parameters[1],
        "metrics": metrics,
        "losses": [round(loss, 5) for loss in progress.history.loss],
        "evaluations": progress.evaluations,
        **({} if best is None else {"best_step": best["step"]}),
        "seconds": round(progress.seconds, 2),
    }


def _ancestry(plan: Plan) -> dict[str, Any]:
    """The versions that it came from, and the sweep that it is a trial of."""
    parents = [plan.start.as_parent()] if plan.start else []
    if plan.trial and plan.trial.parent:
        parents.append(dict(plan.trial.parent))
    return {
        **({"parents": parents} if parents else {}),
        **({"sweep": dict(plan.trial.told)} if plan.trial else {}),
    }


def _trusted_code(base: Base) -> dict[str, Any]:
    """Which code came with the base and ran, where it was any."""
    if not base.trust_remote_code:
        return {}
    return {"trust_remote_code": True} | ({"code": base.code} if base.code else {})


def _data_record(data: EncodedData, source: DataSource) -> dict[str, Any]:
    """What was read; ``split`` and ``licence`` where the dataset declares them."""
    declared = {"split": source.split, "licence": source.offer and source.offer.licence}
    return {
        **{key: value for key, value in declared.items() if value},
        "fingerprint": data.fingerprint,
        **({"file": data.file} if data.file else {}),
        "rows": data.rows,
        "examples": len(data.table),
        "skipped": data.skipped,
        "truncated": data.truncated,
    }
