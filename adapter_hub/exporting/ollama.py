"""``ollama``: the adapter as GGUF, and the Modelfile that puts it on a model of Ollama's."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from adapter_hub.exporting.export import Written
from adapter_hub.exporting.gguf import write_adapter
from adapter_hub.exporting.naming import short_name
from adapter_hub.loading.adapters import Opened


def write_ollama(
    opened: Opened, staging: Path, folder: Path, model: str, say: Callable[[str], None]
) -> Written:
    """``NAME.gguf`` and ``Modelfile``. Raises IncompatibleError, BaseModelError, OSError.

    The Modelfile has two of Ollama's instructions: FROM and ADAPTER, relative to itself.
    """
    name = short_name(opened.reference)
    write_adapter(opened, staging / f"{name}.gguf")
    text = f"FROM {model}\nADAPTER ./{name}.gguf\n"
    (staging / "Modelfile").write_text(text, encoding="utf-8")
    say(f"{model} in Ollama must be base {opened.base.name!r}: Ollama sees no more than the shapes")
    create = shlex.join(["ollama", "create", name, "-f", str(folder / "Modelfile")])
    return Written(commands=[create, shlex.join(["ollama", "run", name])])
