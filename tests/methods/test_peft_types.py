"""What PEFT is told of a method that it does not know, and what it is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from peft import LoraConfig, PeftConfig
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner

from adapter_hub.methods.peft_types import register_with_peft

MAPPINGS: tuple[dict[Any, Any], ...] = (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
)


class Config(PeftConfig): ...


class Tuner(BaseTuner):
    prefix = "marvel_"


class LikeLora(BaseTuner):
    prefix = "lora_"


class Nameless(BaseTuner): ...


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = [dict(each) for each in MAPPINGS]
    yield
    for mapping, was in zip(MAPPINGS, before, strict=True):
        mapping.clear()
        mapping.update(was)


def test_peft_knows_it_afterwards_and_again_changes_nothing() -> None:
    for _ in range(2):
        register_with_peft("MARVEL", Config, Tuner)
    assert [each["MARVEL"] for each in MAPPINGS] == [Config, Tuner, "marvel_"]


@pytest.mark.parametrize(
    ("kind", "config", "tuner", "words"),
    [
        ("LORA", Config, Tuner, "PEFT's type 'LORA' is peft.tuners.lora.config.LoraConfig already"),
        ("MARVEL", dict, Tuner, "is not a class of peft.PeftConfig"),
        ("MARVEL", Config, dict, "is not a class of PEFT's BaseTuner"),
        ("MARVEL", Config, LikeLora, "the prefix 'lora_' is that of LORA already"),
        ("MARVEL", Config, Nameless, "Nameless.prefix must end in '_'"),
    ],
)
def test_what_peft_could_not_work_with_is_refused(
    kind: str, config: type, tuner: type, words: str
) -> None:
    before = [dict(each) for each in MAPPINGS]
    with pytest.raises(ValueError, match=words):
        register_with_peft(kind, config, tuner)
    assert [dict(each) for each in MAPPINGS] == before


def test_another_class_of_the_same_type_is_refused() -> None:
    register_with_peft("MARVEL", Config, Tuner)
    with pytest.raises(ValueError, match=r"'MARVEL' is .*Config already"):
        register_with_peft("MARVEL", LoraConfig, Tuner)
