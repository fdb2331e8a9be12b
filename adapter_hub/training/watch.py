"""What is shown of a run while it goes on: losses for the trackers, and answers."""

from __future__ import annotations

from typing import Any

from adapter_hub.isolation import one_line
from adapter_hub.model import TrainingSettings
from adapter_hub.training.build import without_adapter
from adapter_hub.training.learning_rate import learning_rate
from adapter_hub.training.prepare import Job, Say
from adapter_hub.training.progress import Progress, best_evaluation
from adapter_hub.training.run_options import RunOptions
from adapter_hub.training.samples import Question, answers, questions
from adapter_hub.training.tracking import Trackers
from adapter_hub.training.workbench import BareBase


class Watch:
    """Call it before the first step and after every step; ``finish`` after the last one.

    What is shown goes to ``say``, and the answers into the progress, too. ``bare`` is what is known
    of the base. A model that cannot generate is trained all the same: no failure here reaches the
    run.
    """

    def __init__(
        self,
        job: Job,
        model: Any,
        settings: TrainingSettings,
        options: RunOptions,
        trackers: Trackers,
        bare: BareBase,
        say: Say,
    ) -> None:
        from adapter_hub.loading.bases import context_length

        self._model, self._tokenizer = model, job.tokenizer
        self._settings, self._trackers, self._bare = settings, trackers, bare
        self._every, self._steps, self._say = options.sample_every, job.steps, say
        rows = job.held_out or job.examples
        context = context_length(job.model_config)
        self._asked: list[Question] = questions(rows, options.samples, job.tokenizer, context)

    def __call__(self, progress: Progress) -> None:
        step, looks = progress.step, progress.evaluations
        self._track(progress)
        if 0 < step < self._steps and looks and looks[-1]["step"] == step:
            best = best_evaluation(looks) is looks[-1]
            lowest = ", the lowest so far" if best and len(looks) > 2 else ""
            self._say(f"step {step}: held-out loss {looks[-1]['loss']:.3f}{lowest}")
        if step == 0:
            self._ask_base(progress)
        elif self._every and step % self._every == 0 and step < self._steps:
            self._ask(progress)
            self._show(progress)

    def _track(self, progress: Progress) -> None:
        step, looks, history = progress.step, progress.evaluations, progress.history
        values: dict[str, float] = {}
        if step:
            values["loss"] = history.loss[-1]
            values["learning_rate"] = learning_rate(self._settings, step - 1, self._steps)
            values["tokens_per_second"] = history.tokens[-1] / max(history.seconds[-1], 1e-9)
        if looks and looks[-1]["step"] == step:
            values["eval_loss"] = looks[-1]["loss"]
        self._trackers.log(values, step)

    def finish(self, progress: Progress) -> None:
        """Say how it ended, and ask the adapter as it is kept."""
        best = best_evaluation(progress.evaluations)
        if best is not None and progress.step < self._steps:
            self._say(
                f"stopped early, after step {progress.step} of {self._steps}: "
                f"no held-out loss was lower than that of step {best['step']}"
            )
        progress.samples = [each for each in progress.samples if each["step"] != progress.step]
        self._ask(progress)

    def told(self, progress: Progress) -> list[dict[str, Any]]:
        """Each question with what was answered: ``base``, ``adapter``, and ``during`` the run."""
        return [
            {
                "where": each.where,
                "prompt": each.shown,
                "expected": each.expected,
                **_by_time(progress, number),
            }
            for number, each in enumerate(self._asked)
        ]

    def _ask_base(self, progress: Progress) -> None:
        # As they are answered at once, one answer may depend on the others by a rounding.
        asked = tuple((tuple(each.prompt), each.most) for each in self._asked)
        known = self._bare.answers
        if asked in known:
            self._keep(progress, known[asked])
            return
        with without_adapter(self._model) as switched_off:
            texts = self._ask(progress)
        if switched_off and texts:
            known[asked] = texts

    def _ask(self, progress: Progress) -> list[str]:
        """What the model answers now; nothing, ever after, where it cannot generate."""
        try:
            texts = answers(self._model, self._tokenizer, self._asked)
        except Exception as error:
            self._say(f"no sample answers: {one_line(error)}")
            self._asked, texts = [], []
        self._keep(progress, texts)
        return texts

    def _keep(self, progress: Progress, texts: list[str]) -> None:
        for number, text in enumerate(texts):
            progress.samples.append({"step": progress.step, "number": number, "text": text})

    def _show(self, progress: Progress) -> None:
        for each in progress.samples[-len(self._asked) :] if self._asked else ():
            question = self._asked[each["number"]]
            self._say(
                f"step {progress.step}: {question.where}\n"
                f"  expected: {on_a_line(question.expected)}\n"
                f"  answered: {on_a_line(each['text'])}"
            )


def on_a_line(text: str, most: int = 160, *, keep_end: bool = False) -> str:
    """``text`` as one line of at most so many characters, its end or its start cut off."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    return f"…{line[1 - most :]}" if keep_end else f"{line[: most - 1]}…"


def _by_time(progress: Progress, number: int) -> dict[str, Any]:
    own = [each for each in progress.samples if each["number"] == number]
    during = [each for each in own if 0 < each["step"] < progress.step]
    return {
        "base": next((each["text"] for each in own if each["step"] == 0), None),
        "adapter": next((each["text"] for each in own if each["step"] == progress.step), None),
        "during": [{"step": each["step"], "text": each["text"]} for each in during],
    }
