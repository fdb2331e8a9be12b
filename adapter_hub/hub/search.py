"""``search``: the adapters on a Hub, found by the tags that it makes of their cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import UsageError
from adapter_hub.hub.remotes import find_remote, hub_errors, open_client
from adapter_hub.model import parse_source
from adapter_hub.registry.store import Registry

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LIBRARY = "peft"
_ADAPTER_OF = "base_model:adapter:"
# PEFT's types as its cards, and ours, write them among the tags. There is no other mark.
_NAMES = (
    "adalora adamss adaption_prompt beft boft c3a cartridge cpt deft delora dora fourierft frod "
    "glora gralora hira hra ia3 lily ln_tuning loha lokr lora miss multitask_prompt_tuning oft osf "
    "p_tuning peanut poly prefix_tuning prompt_tuning psoft pvera randlora road shadow shira "
    "supertuning tinylora trainable_tokens unilora vblora vera waveft xlora"
)
_METHODS = frozenset(_NAMES.split())
_REACH_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """An adapter on a Hub. None is what its tags, or the Hub, do not tell."""

    repo: str
    base: str | None
    method: str | None
    downloads: int | None
    likes: int | None
    updated: datetime | None
    private: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def search(
    text: str | None = None,
    *,
    registry: Registry | None = None,
    base: str | None = None,
    remote: str | None = None,
    limit: int = 20,
) -> list[Found]:
    """Adapters whose name has ``text`` in it, on ``base``: of the registry, or OWNER/NAME.

    What is fetched most comes first; a Hub that does not count has its newest first. Raises
    UsageError for a base that has no name on a Hub, UnknownNameError, HubError.
    """
    where = find_remote(registry, remote)
    filters = [_LIBRARY, *([_tag_of(base, registry)] if base else [])]
    client = open_client(where)
    with hub_errors(where, "the list of adapters"):
        _reach(client)
        found = client.list_models(
            search=text,
            filter=filters,
            sort="downloads",
            limit=limit,
            expand=["downloads", "lastModified", "likes", "private", "tags"],
        )
        return [_found(each) for each in found]


def _tag_of(base: str, registry: Registry | None) -> str:
    """What adapters of a base are marked with. Raises UsageError, UnknownNameError."""
    if "/" in base:
        return _ADAPTER_OF + parse_source(f"hf:{base.removeprefix('hf:')}").location
    source = (registry or Registry.open()).base(base).source
    if source.kind == "path":
        raise UsageError(
            f"base {base!r} is a folder here, and has no name on a Hub.",
            hint="name the repository it was pushed with: --base OWNER/NAME",
        )
    return _ADAPTER_OF + source.location if source.kind == "hf" else str(source)


def _reach(client: HfApi) -> None:
    """Without a network the listing would be tried again for a quarter of a minute."""
    from huggingface_hub.utils import get_session

    get_session().head(client.endpoint, timeout=_REACH_SECONDS)


def _found(told: Any) -> Found:
    tags = told.tags or []
    return Found(
        repo=told.id,
        base=base_told(tags),
        method=next((each for each in tags if each in _METHODS), None),
        downloads=told.downloads,
        likes=told.likes,
        updated=told.last_modified,
        private=bool(told.private),
    )


def base_told(tags: Sequence[str]) -> str | None:
    """The base that a repository's tags name, as ``OWNER/NAME`` or ``plugin:NAME``."""
    for prefix in (_ADAPTER_OF, "base_model:"):
        for tag in tags:
            name = tag.removeprefix(prefix)
            if name != tag and ":" not in name:  # base_model:merge:… is not base_model:…
                return name
    return next((tag for tag in tags if tag.startswith("plugin:")), None)
