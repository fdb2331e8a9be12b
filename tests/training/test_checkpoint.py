"""The state of a run in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from adapter_hub.errors import TrainingError
from adapter_hub.training.checkpoint import bring_back, collect, peek, restore, save
from adapter_hub.training.progress import History, Progress

IDS = torch.arange(24).reshape(2, 12) + 5


def start(folder: Path) -> tuple[Any, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.2)).train()
    trained = [each for each in model.parameters() if each.requires_grad]
    return model, torch.optim.AdamW(trained, lr=1e-2)


def step(model: Any, optimizer: torch.optim.Optimizer) -> float:
    loss = model(input_ids=IDS, labels=IDS).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: each.clone() for name, each in model.named_parameters() if each.requires_grad}


def test_a_run_goes_on_bit_for_bit(bases: dict[str, Path], tmp_path: Path) -> None:
    model, optimizer = start(bases["llama"])
    for _ in range(3):
        step(model, optimizer)
    progress = Progress(step=3, tokens=72, history=History())
    progress.history.append(1.5, 4, 24, 0.1)
    best = {"weight.a": torch.arange(3.0), "method.b": torch.ones(2)}
    save(tmp_path / "state", "me", progress, collect(model, optimizer, {}), best)
    torch.manual_seed(9)  # as the loop does before a step, for dropout
    losses = [step(model, optimizer) for _ in range(3)]

    again, fresh = start(bases["llama"])
    found, extra, found_best = restore(tmp_path / "state", again, fresh)
    assert (found, extra) == (progress, {})
    assert {name: each.tolist() for name, each in found_best.items()} == {
        "weight.a": [0, 1, 2], "method.b": [1, 1]
    }  # fmt: skip
    torch.manual_seed(9)
    assert [step(again, fresh) for _ in range(3)] == losses
    for name, each in weights(model).items():
        assert torch.equal(each, weights(again)[name]), name


def test_weights_are_brought_back(bases: dict[str, Path]) -> None:
    model, optimizer = start(bases["llama"])
    step(model, optimizer)
    state = collect(model, None, {"mask": torch.ones(2)})
    assert not any(name.startswith(("exp_avg", "step")) for name in state)
    before = {name: each.clone() for name, each in state.items()}
    state = before
    step(model, optimizer)
    assert any(not torch.equal(each, before[f"weight.{n}"]) for n, each in weights(model).items())
    assert bring_back(model, state)["mask"].tolist() == [1, 1]
    assert all(torch.equal(each, before[f"weight.{n}"]) for n, each in weights(model).items())
    del state[next(name for name in state if name.startswith("weight."))]
    with pytest.raises(KeyError):
        bring_back(model, state)


def test_a_parameter_without_a_gradient_yet_is_kept(bases: dict[str, Path], tmp_path: Path) -> None:
    model, optimizer = start(bases["llama"])
    save(tmp_path / "state", "me", Progress(), collect(model, optimizer, {}), {})
    again, fresh = start(bases["llama"])
    restore(tmp_path / "state", again, fresh)
    assert not fresh.state
    assert step(model, optimizer) > 0


def test_nothing_but_the_file_is_left(bases: dict[str, Path], tmp_path: Path) -> None:
    model, optimizer = start(bases["llama"])
    save(tmp_path / "state.safetensors", "me", Progress(), collect(model, optimizer, {}), {})
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_file_that_cannot_be_replaced_stays(bases: dict[str, Path], tmp_path: Path) -> None:
    model, optimizer = start(bases["llama"])
    save(tmp_path / "state", "first", Progress(step=1), collect(model, optimizer, {}), {})
    (tmp_path / "state.tmp").mkdir()
    with pytest.raises(Exception, match="directory"):
        save(tmp_path / "state", "second", Progress(step=2), collect(model, optimizer, {}), {})
    assert peek(tmp_path / "state") == ("first", Progress(step=1))


def test_a_look_without_loading(bases: dict[str, Path], tmp_path: Path) -> None:
    model, optimizer = start(bases["llama"])
    progress = Progress(step=2, base_eval_loss=3.5, evaluations=[{"step": 0, "loss": 3.5}])
    save(tmp_path / "state", "me", progress, collect(model, optimizer, {}), {})
    assert peek(tmp_path / "state") == ("me", progress)


@pytest.mark.parametrize("content", [None, b"", b"\x00" * 100, b'{"a": 1}'])
def test_what_is_no_checkpoint(bases: dict[str, Path], tmp_path: Path, content: Any) -> None:
    path = tmp_path / "state"
    if content is not None:
        path.write_bytes(content)
    assert peek(path) is None
    with pytest.raises(TrainingError, match=r"the checkpoint .*state cannot be used: ") as caught:
        restore(path, *start(bases["llama"]))
    assert caught.value.hint == "train again without --resume"


def test_a_checkpoint_of_another_shape(bases: dict[str, Path], tmp_path: Path) -> None:
    model, optimizer = start(bases["llama"])
    save(tmp_path / "state", "me", Progress(), collect(model, optimizer, {}), {})
    other = AutoModelForCausalLM.from_pretrained(bases["llama"])
    other = get_peft_model(other, LoraConfig(task_type="CAUSAL_LM", r=4))
    with pytest.raises(TrainingError, match="cannot be used"):
        restore(tmp_path / "state", other, torch.optim.AdamW(other.parameters()))


def test_a_checkpoint_cut_short(bases: dict[str, Path], tmp_path: Path) -> None:
    model, optimizer = start(bases["llama"])
    save(tmp_path / "state", "me", Progress(), collect(model, optimizer, {}), {})
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:-50])
    assert peek(tmp_path / "state") is None
    with pytest.raises(TrainingError, match="cannot be used"):
        restore(tmp_path / "state", model, optimizer)
