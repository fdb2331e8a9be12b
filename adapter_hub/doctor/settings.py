"""Environment variables that decide what commands do; of secrets only that they are set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from adapter_hub.doctor.findings import Finding

_STARTS = (
    "ACCELERATE_", "ADAPTER_HUB_", "CUDA_", "HF_", "HUGGINGFACE_", "MKL_", "OMP_", "PYTORCH_",
    "TOKENIZERS_", "TORCH_", "TRANSFORMERS_",
)  # fmt: skip
_NAMES = (
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_COLOR", "NO_PROXY", "PYTHONHASHSEED",
    "PYTHONPATH", "RANK", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "TMPDIR", "WORLD_SIZE",
    "XDG_CACHE_HOME",
)  # fmt: skip
_SECRET = {"AUTH", "COOKIE", "CREDENTIALS", "KEY", "PASSWORD", "SECRET", "TOKEN"}


def variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """One finding for each that is set and matters."""
    for name, value in sorted(environment.items()):
        if name.upper().startswith(_STARTS) or name.upper() in _NAMES:
            secret = _SECRET & set(name.upper().split("_"))
            yield Finding("settings", "ok", f"{name} is set" if secret else f"{name}={value}")
