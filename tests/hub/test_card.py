"""Cards: what is told, and what of a person's stays."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from adapter_hub.hub.card import BEGIN, END, CardFacts, model_card
from adapter_hub.model import Base, Source

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
FACTS = CardFacts(
    name="sql",
    version=3,
    repo="me/sql",
    base=Base("gpt2", Source("hf", "openai-community/gpt2"), COMMIT),
    record={
        "method": {"name": "lora"},
        "recipe": {
            "options": {"r": 8, "target_modules": ["a|b", "c"]},
            "data": "hf:me/rows",
            "training": {"steps": 150, "epochs": None},
        },
        "data": {"rows": 1000, "fingerprint": "sha256:12"},
        "trainable_parameters": 294912,
    },
    metrics={"eval_loss": 0.1369, "train_loss": 0.1},
    license="mit",
    has_plot=True,
)


def metadata(card: str) -> dict[str, Any]:
    return dict(yaml.safe_load(card.split("---\n")[1]))


def test_a_new_card_tells_what_there_is_to_tell() -> None:
    card = model_card(FACTS, None)
    told = metadata(card)
    assert told["base_model"] == "openai-community/gpt2"
    assert told["base_model_relation"] == "adapter"
    assert told["library_name"] == "peft"
    assert told["license"] == "mit"
    assert told["datasets"] == ["me/rows"]
    assert told["tags"] == ["adapter-hub", "lora"]
    (result,) = told["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == 0.1369
    for words in (COMMIT, "version 3 of `sql`", "294,912", "steps=150", "loss.png", "a\\|b"):
        assert words in card
    assert 'adapter-hub run hf:me/sql "…"' in card
    assert "epochs" not in card


def test_a_base_with_code_of_its_own_is_to_be_read_first() -> None:
    assert "trust_remote_code" not in model_card(FACTS, None)
    trusting = dataclasses.replace(FACTS.base, trust_remote_code=True)
    card = model_card(dataclasses.replace(FACTS, base=trusting), None)
    assert f"--revision {COMMIT} --trust-remote-code" in card
    assert card.count("trust_remote_code=True)") == 2


def test_a_dataset_with_options_and_a_licence() -> None:
    recipe = {"data": "sql", "data_options": {"style": "messages", "limit": 9}}
    record = {"recipe": recipe, "data": {"rows": 9, "licence": "BSD-3-Clause"}}
    card = model_card(dataclasses.replace(FACTS, record=record), None)
    assert "| data options | style=messages, limit=9 |\n| data licence | BSD-3-Clause |" in card
    assert metadata(card)["license"] == "mit", "the adapter's, not the data's"


def test_the_hub_can_read_the_card() -> None:
    card = ModelCard(model_card(FACTS, None))
    assert card.data.eval_results is not None
    assert card.data.eval_results[0].metric_type == "eval_loss"


def test_a_base_of_a_plugin_is_no_repository() -> None:
    facts = dataclasses.replace(FACTS, base=Base("tiny", Source("plugin", "tiny")))
    card = model_card(facts, None)
    assert "base_model" not in metadata(card)
    assert "`plugin:tiny`" in card
    assert "- plugin:tiny\n" in card
    assert "AutoPeftModelForCausalLM" not in card


def test_the_same_facts_change_nothing() -> None:
    card = model_card(FACTS, None)
    assert model_card(FACTS, card) == card


def test_a_persons_words_and_metadata_stay() -> None:
    card = model_card(FACTS, None)
    edited = card.replace("# sql\n", "# My SQL\n\nFor Ann.\n").replace(
        "license: mit", "license: gpl"
    )
    edited = (
        edited.replace("library_name: peft", "library_name: peft\nlanguage: de") + "\nThe end.\n"
    )
    later = dataclasses.replace(FACTS, version=4, metrics={"eval_loss": 0.1}, license=None)
    renewed = model_card(later, edited)
    assert "# My SQL\n\nFor Ann.\n" in renewed
    assert renewed.endswith("\nThe end.\n")
    assert (metadata(renewed)["license"], metadata(renewed)["language"]) == ("gpl", "de")
    assert "version 4 of" in renewed
    assert "version 3 of" not in renewed
    assert metadata(renewed)["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.1


def test_metadata_keeps_its_order_and_its_comments() -> None:
    written = (
        "---\n"
        "# ours, agreed with Ann\n"
        "license: mit  # as the data\n"
        "tags:\n- 'sql'   # for the search\n- lora\n\n"
        "# languages\n"
        "language: [de, en]\n"
        "base_model: somebody/else\n"
        "---\n# SQL\n"
    )
    renewed = model_card(dataclasses.replace(FACTS, license=None), written)
    head = renewed.partition("\n---\n")[0]
    assert head.startswith("---\n# ours, agreed with Ann\nlicense: mit  # as the data\ntags:\n")
    assert "\n# languages\nlanguage: [de, en]\nbase_model: openai-community/gpt2\n" in head
    assert metadata(renewed)["tags"] == ["sql", "lora", "adapter-hub"]
    assert metadata(renewed)["library_name"] == "peft"
    assert model_card(dataclasses.replace(FACTS, license=None), renewed) == renewed


def test_metadata_that_no_splice_foresees_is_written_anew() -> None:
    odd = '---\n{"tags": [a],\n"license": mit}\n---\n# x\n'
    told = metadata(model_card(FACTS, odd))
    assert told["tags"] == ["a", "adapter-hub", "lora"]
    assert told["license"] == "mit"


def test_a_section_that_was_taken_out_stays_out() -> None:
    assert BEGIN not in model_card(FACTS, "---\nlicense: mit\n---\n# Only this\n")


@given(
    before=st.text(alphabet=st.characters(blacklist_characters="\r"), max_size=50),
    after=st.text(max_size=50),
)
def test_text_around_the_section_is_kept(before: str, after: str) -> None:
    head = "---\nlicense: mit\n---\n"
    once = model_card(FACTS, f"{head}{before}{BEGIN}old{END}{after}")
    assert once.endswith(f"{END}{after}")
    assert f"---\n{before}{BEGIN}" in once
    assert model_card(FACTS, once) == once


def test_metadata_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="dict"):
        model_card(FACTS, "---\n- a\n- b\n---\n# x\n")
