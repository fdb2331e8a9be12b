"""The model card of a pushed adapter: metadata, and a section of ours in a person's text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter_hub.loading.folders import recorded
from adapter_hub.model import Base

BEGIN = "<!-- adapter-hub: this part is renewed by every push; write above or below it -->"
END = "<!-- /adapter-hub -->"
_SECTION = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
_METRICS = {"eval_loss": "held-out loss", "perplexity": "held-out perplexity"}


@dataclass(frozen=True)
class CardFacts:
    """What a card tells. ``base`` is as the pushed config names it."""

    name: str
    version: int
    repo: str
    base: Base
    record: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)
    license: str | None = None
    has_plot: bool = False


def model_card(facts: CardFacts, existing: str | None) -> str:
    """The card to push; of one that is there, a person's words and metadata stay.

    A card whose section was taken out gets none again. Raises ValueError for a card whose
    metadata is no YAML.
    """
    from huggingface_hub import ModelCard

    section = _section(facts)
    if existing is None or not existing.strip():
        return f"---\n{_yaml(_metadata(facts, {}))}\n---\n\n# {facts.name}\n\n{section}\n"
    card = ModelCard(existing, ignore_metadata_errors=True)
    before = card.data.to_dict()
    after = _metadata(facts, before)
    text = _SECTION.sub(lambda _match: section, card.text)
    head = existing[: len(existing) - len(card.text)]
    if after == before:
        return head + text
    spliced = _spliced(head, {key: after[key] for key in after if after[key] != before.get(key)})
    # A person may write YAML in ways that no splice by lines foresees.
    return (spliced if _tells(spliced, after) else f"---\n{_yaml(after)}\n---\n") + text


def _tells(head: str, metadata: Mapping[str, Any]) -> bool:
    import yaml
    from huggingface_hub import ModelCard

    try:
        return bool(ModelCard(head, ignore_metadata_errors=True).data.to_dict() == metadata)
    except (ValueError, yaml.YAMLError):
        return False


def _spliced(head: str, changed: Mapping[str, Any]) -> str:
    """A card's metadata with other values of some keys; every other line, and its order, stays."""
    for key, value in changed.items():
        # The key's line, and those below it that are indented or items of its list.
        lines = rf"^{re.escape(key)}[ \t]*:.*\n(?:(?:[ \t]+.*|- .*|-)?\n)*"
        old = re.search(lines, head, re.M) or re.search(r"(?=^---[ \t]*\n\Z)", head, re.M)
        if old:
            head = f"{head[: old.start()]}{_yaml({key: value})}\n{head[old.end() :]}"
    return head


def _yaml(metadata: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)).strip()


def _metadata(facts: CardFacts, before: Mapping[str, Any]) -> dict[str, Any]:
    """The card's metadata: what was there, with ours in it.

    ``base_model`` must be a repository's name, so one of a plugin is a tag, as ``plugin:NAME``.
    """
    method = recorded(dict(facts.record), "method").get("name") or "lora"
    tags = [str(each) for each in before.get("tags") or []]
    marks = ["adapter-hub", str(method)]
    if facts.base.source.kind == "plugin":
        marks.append(str(facts.base.source))
    ours: dict[str, Any] = {
        "library_name": "peft",
        "pipeline_tag": before.get("pipeline_tag", "text-generation"),
        "tags": tags + [each for each in marks if each not in tags],
    }
    if facts.base.source.kind == "hf":
        ours |= {"base_model": facts.base.source.location, "base_model_relation": "adapter"}
    if facts.license:
        ours["license"] = facts.license
    results = _results(facts)
    if results:
        others = [each for each in before.get("model-index") or [] if each["name"] != facts.name]
        ours["model-index"] = results + others
    data = recorded(dict(facts.record), "recipe").get("data")
    if isinstance(data, str) and data.startswith("hf:") and "datasets" not in before:
        ours["datasets"] = [data.removeprefix("hf:")]
    return {**before, **ours}


def _results(facts: CardFacts) -> list[dict[str, Any]]:
    """``model-index``, in the form of Papers with Code that the Hub reads."""
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    data = str(recorded(dict(facts.record), "recipe").get("data") or "training data")
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=data.removeprefix("hf:"),
            dataset_name=f"{data}, held-out rows",
            metric_type=key,
            metric_name=name,
            metric_value=facts.metrics[key],
        )
        for key, name in _METRICS.items()
        if key in facts.metrics
    ]
    if not results:
        return []
    index: list[dict[str, Any]] = eval_results_to_model_index(facts.name, results)
    return index


def _section(facts: CardFacts) -> str:
    parts = [
        BEGIN,
        f"A PEFT adapter on {_base_words(facts.base)}, version {facts.version} of `{facts.name}`.",
        _usage(facts),
        "## How it was made",
        _table(facts),
    ]
    if facts.has_plot:
        parts.append("![training and held-out loss](loss.png)")
    return "\n\n".join([*parts, END])


def _base_words(base: Base) -> str:
    if base.source.kind == "hf":
        at = f" at revision `{base.revision}`" if base.revision else ""
        if base.remote:  # a Hub that not everybody may know of
            return f"`{base.source.location}`{at}"
        return f"[{base.source.location}](https://huggingface.co/{base.source.location}){at}"
    return f"`{base.source}`"


def _read_its_code(base: Base) -> str:
    return (
        f"The base comes with Python code of its own. Read it at that revision; if you trust it:\n\n"
        f"```sh\nadapter-hub base add {base.name} {base.source} --revision {base.revision} "
        "--trust-remote-code\n```"
    )


def _usage(facts: CardFacts) -> str:
    ours = f'## Use\n\n```sh\npip install adapter-hub\nadapter-hub run hf:{facts.repo} "…"\n```'
    if facts.base.source.kind != "hf":
        return ours
    revision = f', revision="{facts.base.revision}"' if facts.base.revision else ""
    trust = ", trust_remote_code=True" if facts.base.trust_remote_code else ""
    if trust:
        ours = _read_its_code(facts.base) + "\n\n" + ours
    return (
        f"{ours}\n\nOr with PEFT alone:\n\n```python\n"
        "from peft import AutoPeftModelForCausalLM\n"
        "from transformers import AutoTokenizer\n\n"
        f'model = AutoPeftModelForCausalLM.from_pretrained("{facts.repo}"{trust})\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{facts.base.source.location}"{revision}{trust})\n'
        'inputs = tokenizer("…", return_tensors="pt")\n'
        "answer = model.generate(**inputs, max_new_tokens=64)\n"
        "print(tokenizer.decode(answer[0], skip_special_tokens=True))\n```"
    )


def _table(facts: CardFacts) -> str:
    record = dict(facts.record)
    recipe, data = recorded(record, "recipe"), recorded(record, "data")
    training = recorded(recipe, "training")
    told: list[tuple[str, Any]] = [
        ("method", recorded(record, "method").get("name")),
        ("options", _pairs(recorded(recipe, "options"))),
        ("trainable parameters", record.get("trainable_parameters")),
        ("data", recipe.get("data")),
        ("data options", _pairs(recorded(recipe, "data_options"))),
        ("data licence", data.get("licence")),
        ("rows", data.get("rows")),
        ("data fingerprint", data.get("fingerprint")),
        ("training", _pairs({key: value for key, value in training.items() if value is not None})),
        ("steps", record.get("steps")),
        ("tokens", record.get("tokens")),
        ("base's number type", record.get("dtype")),
        *((key.replace("_", " "), f"{value:.4g}") for key, value in facts.metrics.items()),
    ]
    rows = [f"| {name} | {_cell(value)} |" for name, value in told if value not in (None, "", {})]
    return "\n".join(["| | |", "|---|---|", *rows])


def _pairs(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in table.items())


def _cell(value: Any) -> str:
    """A table's cell holds no line break and no bar."""
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
