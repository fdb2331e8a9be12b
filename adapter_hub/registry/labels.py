"""What people write on an adapter: its tags and its description."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapter_hub.errors import UnknownNameError, UsageError
from adapter_hub.options import suggestion
from adapter_hub.registry.store import Registry


def tag_adapter(
    registry: Registry, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()
) -> list[str]:
    """Add tags and remove others; returns those that it has then, in their order.

    Raises UsageError for what ``list --tag`` could not ask for, UnknownNameError for one to
    remove that is not there; then nothing was changed.
    """
    add, remove = list(add), list(remove)
    for tag in add:
        _check_tag(tag)
        if tag in remove:
            raise UsageError(f"tag {tag!r} is to be added and removed.")
    registry.adapter(name)
    tags: list[str] = []

    def change(entry: dict[str, Any]) -> None:
        nonlocal tags
        tags = [str(tag) for tag in entry.get("tags", ())]
        for tag in remove:
            if tag not in tags:
                raise UnknownNameError(
                    f"adapter {name!r} has no tag {tag!r}{suggestion(tag, tags)}; "
                    "nothing was changed.",
                    hint=f"adapter-hub tag {name}",
                )
        tags = list(dict.fromkeys([*(tag for tag in tags if tag not in remove), *add]))
        if tags:
            entry["tags"] = tags
        else:
            entry.pop("tags", None)

    registry.edit_adapter(name, change)
    return tags


def describe_adapter(registry: Registry, name: str, text: str) -> None:
    """Write down what an adapter is for; an empty ``text`` removes it. Raises UsageError."""
    text = text.strip()
    if not all(char.isprintable() or char in "\n\t" for char in text):
        raise UsageError("a description takes printable characters and line ends only.")
    registry.adapter(name)

    def change(entry: dict[str, Any]) -> None:
        if text:
            entry["description"] = text
        else:
            entry.pop("description", None)

    registry.edit_adapter(name, change)


def _check_tag(tag: str) -> None:
    if not tag or tag != tag.strip() or "," in tag or not tag.isprintable():
        raise UsageError(
            f"{tag!r} cannot be a tag: it is a word or a few, without commas, which mean OR in "
            "`adapter-hub list --tag a,b`."
        )
