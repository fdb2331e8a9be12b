"""Who may do what: users with tokens, from a file or one that is made."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_hub.errors import UsageError
from adapter_hub.hubserver.names import SHA256, check_repo_part, folded
from adapter_hub.hubserver.refusals import Forbidden, NotLoggedIn, Refused

LOCAL = "local"
_KEYS = {"token", "token_sha256", "role", "orgs"}


@dataclass(frozen=True)
class User:
    name: str
    token_sha256: str
    role: str = "write"
    orgs: tuple[str, ...] = ()

    def belongs_to(self, owner: str) -> bool:
        return folded(owner) in {folded(each) for each in (self.name, *self.orgs)}


@dataclass(frozen=True)
class Accounts:
    users: Sequence[User]

    def user(self, token: str) -> User | None:
        """Whose token it is. Every one is compared, and each in constant time."""
        digest = token_digest(token)
        found = None
        for user in self.users:
            if hmac.compare_digest(digest, user.token_sha256):
                found = user
        return found


def may_read(user: User | None, owner: str, *, private: bool) -> bool:
    return not private or (user is not None and user.belongs_to(owner))


def check_may_write(user: User | None, owner: str) -> User:
    """Raises NotLoggedIn, Forbidden."""
    user = check_may_propose(user)
    if not user.belongs_to(owner):
        raise Forbidden(f"The token of {user.name} may not write to {owner}.")
    return user


def check_may_propose(user: User | None) -> User:
    """Whether changes may be proposed and discussed, where they may be seen.

    Raises NotLoggedIn, Forbidden.
    """
    if user is None:
        # These words: at others the client says that there is no repository.
        raise NotLoggedIn("Invalid credentials in Authorization header")
    if user.role != "write":
        raise Forbidden(f"The token of {user.name} may read only.")
    return user


def token_digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read_users(path: Path) -> Accounts:
    """The users of a TOML file. Raises UsageError naming the file and the user."""
    import tomli

    try:
        users = tomli.loads(path.read_text(encoding="utf-8")).get("users")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a file of users: {error}") from None
    if not isinstance(users, dict) or not users:
        raise UsageError(f"{path} has no table [users.NAME].")
    read = [_read_user(path, name, fields) for name, fields in users.items()]
    digests = [user.token_sha256 for user in read]
    if len(set(digests)) < len(digests):
        raise UsageError(f"{path}: two users have one token.")
    return Accounts(read)


def _read_user(path: Path, name: str, fields: Any) -> User:
    where = f"{path}: users.{name}"
    if not isinstance(fields, dict) or set(fields) - _KEYS:
        raise UsageError(f"{where} is a table of token or token_sha256, role and orgs.")
    orgs = fields.get("orgs", [])
    if not isinstance(orgs, list) or not all(isinstance(each, str) for each in orgs):
        raise UsageError(f"{where}: orgs is a list of names.")
    try:
        for each in (name, *orgs):
            check_repo_part(each)
    except Refused as error:
        raise UsageError(f"{where}: {error.message}") from None
    if fields.get("role", "read") not in ("read", "write"):
        raise UsageError(f'{where}: role is "read" or "write".')
    return User(name, _digest_of(where, fields), fields.get("role", "read"), tuple(orgs))


def _digest_of(where: str, fields: dict[str, Any]) -> str:
    token, digest = fields.get("token"), fields.get("token_sha256")
    if (token is None) == (digest is None):
        raise UsageError(f"{where} has either token or token_sha256.")
    if token is not None:
        if not isinstance(token, str) or len(token) < 8:
            raise UsageError(f"{where}: token is a text of at least 8 letters.")
        return token_digest(token)
    if not isinstance(digest, str) or not SHA256.fullmatch(digest.lower()):
        raise UsageError(f"{where}: token_sha256 is 64 hex digits.")
    return digest.lower()


def local_user(folder: Path) -> tuple[Accounts, str, bool]:
    """The one user of a Hub without a file of users, the token, and whether it is a new one.

    Raises OSError.
    """
    token, new = kept_secret(folder / "token", "hf_")
    return Accounts([User(LOCAL, token_digest(token))]), token, new


def kept_secret(path: Path, prefix: str = "") -> tuple[str, bool]:
    """The secret in a file that only its owner may read, made on the first start.

    Raises OSError.
    """
    made = prefix + secrets.token_hex(20)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(made + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link is made whole, and by one of two servers that start at once.
        os.link(draft, path)
        return made, True
    except FileExistsError:
        return path.read_text(encoding="ascii").strip(), False
    finally:
        draft.unlink(missing_ok=True)
