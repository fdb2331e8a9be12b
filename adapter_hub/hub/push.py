"""``push REF``: one version as one commit, on top of what is known to be there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter_hub.errors import ConflictError, HubError, UsageError, VerificationError
from adapter_hub.hub.card import CardFacts, model_card
from adapter_hub.hub.files import (
    CARD,
    Content,
    FileChange,
    RemoteFile,
    base_to_name,
    compare,
    outgoing,
)
from adapter_hub.hub.remotes import command_at, find_remote, hub_errors, named_remote, open_client
from adapter_hub.hub.repository import Repository, full_name, list_files, look, read_card
from adapter_hub.hub.standing import known_commits, unknown_files
from adapter_hub.loading.folders import read_record, recorded
from adapter_hub.loading.remotes import HUGGING_FACE, hub_entry
from adapter_hub.model import (
    Adapter,
    Base,
    Reference,
    Remote,
    Version,
    is_commit,
    parse_reference,
    parse_source,
)
from adapter_hub.registry.store import Registry
from adapter_hub.registry.versions import damage, record_hub

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

Say = Callable[[str], None]
BASE = "base"
"""In a version's ``hub`` table: what ``--base-repo`` said, with the commit that it had then."""


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """What a push may be told besides what and where. ``base_repo`` is ``OWNER/NAME[@COMMIT]``."""

    private: bool = False
    message: str | None = None
    tag: str | None = None
    create_pr: bool = False
    base_repo: str | None = None
    license: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class PushResult:
    """What ``push --json`` prints. ``revision`` is None for a dry run of a change."""

    name: str
    version: int
    repo: str
    endpoint: str
    revision: str | None
    committed: bool
    bytes: int
    files: list[FileChange]
    tags: list[str]
    pull_request: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self)}


def push(
    reference: str | Reference,
    repo: str | None = None,
    *,
    registry: Registry | None = None,
    remote: str | None = None,
    options: PushOptions | None = None,
    say: Say = lambda text: None,
) -> PushResult:
    """Make the repository's newest commit hold a version, in one commit or, if it does, in none.

    Without ``repo`` the adapter goes where it was pushed or pulled last. Raises UsageError,
    UnknownNameError, HubError; VerificationError when files differ from their digests;
    ConflictError when the repository has commits that are not here.
    """
    registry, options = registry or Registry.open(), options or PushOptions()
    if isinstance(reference, str):
        reference = parse_reference(reference)
    if reference.kind != "name":
        raise UsageError(f"{reference} is not in the registry, so it cannot be pushed.")
    adapter, version = registry.resolve(reference)
    folder = registry.version_folder(adapter.name, version.number)
    problems = damage(folder, version)
    if problems:
        raise VerificationError(
            f"{adapter.name}@{version.number} is not what was recorded: {'; '.join(problems)}.",
            hint="bring the files back, or train it again",
        )
    where, repo = find_target(registry, adapter, repo, remote)
    base_repo = options.base_repo or _base_named_before(registry, adapter, folder)
    if base_repo is None:
        base_to_name(registry, folder, None)  # before the network is asked
    client = open_client(where)
    with hub_errors(where, repo):
        target = look(client, where, full_name(where, repo))
    if options.private and target.head is not None:
        say(
            f"{target.repo} is there already, and stays as open as it is: --private is for new ones"
        )
    base = base_to_name(registry, folder, _named_base(client, where, base_repo))
    files = outgoing(folder, base)
    _add_card(files, target, adapter, version, base, folder, options)
    changes = compare(files, target.files)
    dirty = any(each.state != "same" for each in changes)
    if dirty:
        _refuse_foreign(target, adapter, version)
    tags = [f"v{version.number}", *([options.tag] if options.tag else [])]
    pull_request, revision = None, target.head
    if dirty and not options.dry_run:
        revision, pull_request = _commit(target, files, changes, adapter, version, options)
    if not options.dry_run and not options.create_pr and revision:
        tags = _tag(target, revision, tags, say)
        entry = hub_entry(where, target.repo, revision)
        if base_repo is not None:
            entry[BASE] = f"{base.source.location}@{base.revision}"
        record_hub(registry, adapter.name, version.number, entry)
    return PushResult(
        name=adapter.name,
        version=version.number,
        repo=target.repo,
        endpoint=where.endpoint,
        revision=None if dirty and options.dry_run else revision,
        committed=dirty and not options.dry_run,
        bytes=sum(each.bytes for each in changes),
        files=changes,
        tags=tags if not options.create_pr else [],
        pull_request=pull_request,
    )


def find_target(
    registry: Registry, adapter: Adapter, repo: str | None, remote: str | None
) -> tuple[Remote, str]:
    """The Hub and the repository: as told, else where the adapter's newest pushed version lies.

    Raises UsageError, UnknownNameError.
    """
    placed = [each.hub for _, each in sorted(adapter.versions.items()) if each.hub.get("repo")]
    if repo is not None:
        return find_remote(registry, remote), repo
    if remote is not None:
        endpoint = find_remote(registry, remote).endpoint
        placed = [each for each in placed if each.get("endpoint", HUGGING_FACE) == endpoint]
    if not placed:
        raise UsageError(
            f"{adapter.name!r} has not been pushed yet, so say where to.",
            hint=f"adapter-hub push {adapter.name} OWNER/REPO",
        )
    if remote is not None:
        return find_remote(registry, remote), placed[-1]["repo"]
    return named_remote(registry, placed[-1].get("endpoint", HUGGING_FACE)), placed[-1]["repo"]


def _base_named_before(registry: Registry, adapter: Adapter, folder: Path) -> str | None:
    """What the newest push of a version on the very same base was told of where that is."""

    def identity(folder: Path) -> dict[str, Any]:
        return recorded(recorded(read_record(folder), "base"), "identity")

    mine = identity(folder)
    for number, version in sorted(adapter.versions.items(), reverse=True):
        named = version.hub.get(BASE)
        if named and mine and identity(registry.version_folder(adapter.name, number)) == mine:
            return named
    return None


def _named_base(client: HfApi, remote: Remote, base_repo: str | None) -> Base | None:
    """``--base-repo``, at the commit that it has now where none is given."""
    if base_repo is None:
        return None
    repo, _, revision = base_repo.partition("@")
    source = parse_source(f"hf:{repo}")
    if not is_commit(revision):
        with hub_errors(remote, f"base {repo}"):
            revision = str(client.model_info(repo, revision=revision or None).sha)
    return Base(repo, source, revision, None if remote.endpoint == HUGGING_FACE else remote)


def _add_card(
    files: dict[str, Content],
    target: Repository,
    adapter: Adapter,
    version: Version,
    base: Base,
    folder: Path,
    options: PushOptions,
) -> None:
    facts = CardFacts(
        name=adapter.name,
        version=version.number,
        repo=target.repo,
        base=base,
        record=read_record(folder),
        metrics=version.metrics,
        license=options.license,
        has_plot="loss.png" in files,
    )
    with hub_errors(target.remote, f"{target.repo}'s card"):
        existing = read_card(target)
    try:
        files[CARD] = model_card(facts, existing).encode()
    except ValueError as error:
        raise HubError(
            f"the card of {target.repo} has metadata that cannot be read: {error}.",
            hint="mend its first lines on the Hub",
        ) from error


def _refuse_foreign(target: Repository, adapter: Adapter, version: Version) -> None:
    """Raises ConflictError when the newest commit has files that no version here was pushed as."""
    known = known_commits(adapter, target.remote.endpoint, target.repo)
    if unknown_files(target, known):
        pull = command_at(target.remote, f"pull {target.repo} --as {adapter.name}")
        # By number: what is pulled is the newest version from then on.
        push = command_at(target.remote, f"push {adapter.name}@{version.number} {target.repo}")
        raise ConflictError(
            f"{target.repo} has commits that are not here, the newest {str(target.head)[:12]}; "
            "nothing was overwritten.",
            hint=f"pull, then push again: {pull} && {push}",
        )


def _commit(
    target: Repository,
    files: Mapping[str, Content],
    changes: list[FileChange],
    adapter: Adapter,
    version: Version,
    options: PushOptions,
) -> tuple[str, str | None]:
    """One commit with all that changes; its id, and the pull request's address if it is one."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    adds = [
        CommitOperationAdd(each.path, files[each.path])
        for each in changes
        if each.state in ("new", "changed")
    ]
    removes = [CommitOperationDelete(each.path) for each in changes if each.state == "removed"]
    with hub_errors(target.remote, target.repo):
        head = target.head
        if head is None:
            target.client.create_repo(target.repo, private=options.private, exist_ok=True)
            head = target.client.model_info(target.repo).sha
        made = target.client.create_commit(
            target.repo,
            [*adds, *removes],
            commit_message=options.message or f"{adapter.name}@{version.number}",
            parent_commit=head,
            create_pr=options.create_pr,
        )
        _verify(target, made.oid, adds, files, changes)
    return made.oid, made.pr_url


def _verify(
    target: Repository,
    commit: str,
    adds: list[CommitOperationAdd],
    files: Mapping[str, Content],
    changes: list[FileChange],
) -> None:
    """Raises HubError when the commit does not hold what was sent, and what was there already."""
    there = list_files(target.client, target.repo, commit)
    wrong = [
        each.path_in_repo
        for each in adds
        if each.path_in_repo not in there
        or not _is(there[each.path_in_repo], each, files[each.path_in_repo])
    ]
    same = [each.path for each in changes if each.state == "same"]
    wrong += [name for name in same if there.get(name) != target.files[name]]
    if wrong:
        raise HubError(
            f"{target.repo} holds other bytes than were sent, of {', '.join(wrong)}.",
            hint="push again",
        )


def _is(file: RemoteFile, sent: CommitOperationAdd, content: Content) -> bool:
    """Whether this was sent. The client hashed large files already: they are not read again."""
    if file.sha256 is None:
        return file.holds(content)
    digest: str = sent.upload_info.sha256.hex()
    return (file.sha256, file.size) == (digest, sent.upload_info.size)


def _tag(target: Repository, revision: str, tags: list[str], say: Say) -> list[str]:
    """Set the tags that are free; those that are at ``revision`` now."""
    with hub_errors(target.remote, target.repo):
        there = {
            each.name: each.target_commit for each in target.client.list_repo_refs(target.repo).tags
        }
        for tag in tags:
            if tag not in there:
                target.client.create_tag(target.repo, tag=tag, revision=revision)
                there[tag] = revision
            elif there[tag] != revision:
                say(f"the tag {tag} of {target.repo} is at {there[tag][:12]} and stays there")
    return [tag for tag in tags if there[tag] == revision]
