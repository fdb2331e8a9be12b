"""The tables of ``registry.toml`` as records, and back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import timezone
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import UsageError
from adapter_hub.model import (
    Adapter,
    Base,
    Recipe,
    Remote,
    Source,
    TrainingSettings,
    Version,
    check_name,
    is_commit,
    parse_source,
)
from adapter_hub.registry.tables import (
    ADAPTER_KEYS,
    VERSION_KEYS,
    SchemaError,
    checked_aliases,
    checked_metrics,
    in_utc,
    read_value,
    read_values,
    require_recipe,
    version_tables,
)

if TYPE_CHECKING:
    from adapter_hub.options import Option


def check_names(meaning: Mapping[str, Any]) -> None:
    """Check that every entry's name can name a folder. Raises SchemaError."""
    for section in ("bases", "adapters"):
        for name in meaning.get(section, {}):
            _check_entry_name(section, name)


def read_base(name: str, table: Mapping[str, Any], remotes: Mapping[str, Any]) -> Base:
    """``[bases.NAME]`` as a Base; ``remotes`` are the tables of Hubs. Raises SchemaError."""
    path = ("bases", name)
    _check_entry_name("bases", name)
    if "source" not in table:
        raise SchemaError(path, "needs the key `source`")
    text = read_value(table, path, "source", str)
    source = _wrap((*path, "source"), lambda: parse_source(text))
    revision = read_value(table, path, "revision", str)
    if source.kind == "hf" and not (revision and is_commit(revision)):
        raise SchemaError((*path, "revision"), "needs `revision`, an exact commit of 40 hex digits")
    return Base(
        name,
        source,
        revision,
        _remote_of_base(path, source, table, remotes),
        **_trust(path, source, table),
    )


def _remote_of_base(
    path: tuple[str, ...], source: Source, table: Mapping[str, Any], remotes: Mapping[str, Any]
) -> Remote | None:
    remote = read_value(table, path, "remote", str)
    if remote is None:
        return None
    if source.kind != "hf":
        raise SchemaError((*path, "remote"), f"goes with an hf: source, not with {source}")
    if remote not in remotes:
        raise SchemaError((*path, "remote"), f"{remote!r} is not there: [remotes.{remote}]")
    return read_remote(remote, remotes[remote])


def _trust(path: tuple[str, ...], source: Source, table: Mapping[str, Any]) -> dict[str, Any]:
    """Whether code that comes with the base may run: only code that is pinned."""
    trusted = bool(read_value(table, path, "trust_remote_code", bool))
    code = read_value(table, path, "code", str)
    if trusted and source.kind != "hf" and not code:
        raise SchemaError(
            (*path, "trust_remote_code"),
            f"needs `code`, the digest of the code in {source}: "
            "adapter-hub base add --trust-remote-code writes both",
        )
    return {"trust_remote_code": trusted, "code": code}


def read_remote(name: str, table: Mapping[str, Any]) -> Remote:
    """``[remotes.NAME]`` as a Remote. Raises SchemaError."""
    path = ("remotes", name)
    endpoint = read_value(table, path, "endpoint", str) if isinstance(table, Mapping) else None
    if not endpoint or not endpoint.startswith(("https://", "http://")):
        raise SchemaError(path, "needs the key `endpoint`, an address with https:// or http://")
    return Remote(endpoint.rstrip("/"), name)


def read_adapter(name: str, table: Mapping[str, Any]) -> Adapter:
    """``[adapters.NAME]`` as an Adapter. Raises SchemaError."""
    path = ("adapters", name)
    _check_entry_name("adapters", name)
    get = read_values(table, path, ADAPTER_KEYS)
    recipe = Recipe(
        base=get.get("base"),
        method=get.get("method", "lora"),
        options=get.get("options", {}),
        data=get.get("data"),
        data_options=get.get("data_options", {}),
        eval_data=get.get("eval_data"),
        column_map=_strings((*path, "column_map"), get.get("column_map", {})),
        training=read_training(get["training"], path) if "training" in get else TrainingSettings(),
    )
    versions = read_versions(name, table)
    aliases = checked_aliases(path, get.get("aliases", {}), versions)
    require_recipe(path, table)
    return Adapter(
        name=name,
        recipe=recipe,
        description=get.get("description", ""),
        tags=tuple(map(str, get.get("tags", ()))),
        aliases=aliases,
        versions=versions,
    )


def read_training(table: Mapping[str, Any], path: tuple[str, ...]) -> TrainingSettings:
    """A ``training = { … }`` table. Raises SchemaError naming the key."""

    from adapter_hub.options import check_options

    def settings() -> TrainingSettings:
        return TrainingSettings(
            **check_options(_training_options(), table, owner="the training table")
        )

    checked: TrainingSettings = _wrap((*path, "training"), settings)
    return checked


def read_versions(name: str, table: Mapping[str, Any]) -> dict[int, Version]:
    """The versions of ``[adapters.NAME]`` by number. Raises SchemaError."""
    path = ("adapters", name)
    told = read_value(table, path, "versions", Mapping) or {}
    return {
        int(number): read_version(name, number, version)
        for number, version in version_tables(path, told).items()
    }


def read_version(name: str, number: str, table: Mapping[str, Any]) -> Version:
    """``[adapters.NAME.versions.N]`` as a Version. Raises SchemaError."""
    path = ("adapters", name, "versions", number)
    get = read_values(table, path, VERSION_KEYS)
    _check_files((*path, "files"), get["files"])
    return Version(
        number=int(number),
        created=in_utc(get["created"]),
        files=get["files"],
        recipe=get.get("recipe"),
        metrics=checked_metrics(path, get.get("metrics", {})),
        hub=_strings((*path, "hub"), get.get("hub", {})),
    )


@functools.cache
def _training_options() -> tuple[Option, ...]:
    from adapter_hub.options import options_of

    return options_of(TrainingSettings)


def base_table(base: Base) -> dict[str, Any]:
    """A Base as its table."""
    table: dict[str, Any] = {"source": str(base.source)}
    if base.revision:
        table["revision"] = base.revision
    if base.remote and base.remote.name:
        table["remote"] = base.remote.name
    if base.trust_remote_code:
        table["trust_remote_code"] = True
        if base.code:
            table["code"] = base.code
    return table


def recipe_table(recipe: Recipe) -> dict[str, Any]:
    """A Recipe as the keys it puts into ``[adapters.NAME]``; what is empty is left out."""
    table: dict[str, Any] = {
        "base": recipe.base,
        "method": recipe.method,
        "options": dict(recipe.options),
        "data": recipe.data,
        "data_options": dict(recipe.data_options),
        "eval_data": recipe.eval_data,
        "column_map": dict(recipe.column_map),
        "training": recipe.training.given(),
    }
    return {key: value for key, value in table.items() if value not in (None, {})}


def version_table(version: Version) -> dict[str, Any]:
    """A Version as its table."""
    # Whole seconds in UTC: every version is written in the same form.
    created = in_utc(version.created).astimezone(timezone.utc).replace(microsecond=0)
    table = {
        "created": created,
        "recipe": version.recipe,
        "files": dict(version.files),
        "metrics": dict(version.metrics),
        "hub": dict(version.hub),
    }
    return {key: value for key, value in table.items() if value not in (None, {}) or key == "files"}


def _check_entry_name(section: str, name: str) -> None:
    try:
        check_name(name, f"an entry of {section}")
    except UsageError as error:
        raise SchemaError((section, name), error.message.rstrip(".")) from None


def _check_files(path: tuple[str, ...], files: Mapping[str, Any]) -> None:
    """A name is a path below the version's folder, on every system, and a digest is a string."""
    for name, digest in files.items():
        parts = name.split("/")
        if {"", ".", ".."} & set(parts) or any(char in name for char in "\\:\0"):
            raise SchemaError(
                path, f"{name!r} is not the name of a file inside the version's folder"
            )
        if not isinstance(digest, str):
            raise SchemaError(path, f"the digest of {name!r} must be a string, not {digest!r}")


def _strings(path: tuple[str, ...], table: Mapping[str, Any]) -> Mapping[str, str]:
    for key, value in table.items():
        if not isinstance(value, str):
            raise SchemaError(path, f"{key} must be a string, not {value!r}")
    return table


def _wrap(path: tuple[str, ...], make: Callable[[], Any]) -> Any:
    try:
        return make()
    except UsageError as error:
        raise SchemaError(path, error.message.rstrip(".")) from None
