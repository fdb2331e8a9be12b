"""Users and their tokens."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from adapter_hub.errors import UsageError
from adapter_hub.hubserver.accounts import (
    check_may_write,
    kept_secret,
    local_user,
    may_read,
    read_users,
)
from adapter_hub.hubserver.refusals import Forbidden, NotLoggedIn


def users(folder: Path, text: str) -> Path:
    (folder / "users.toml").write_text(text, encoding="utf-8")
    return folder / "users.toml"


def test_users_of_a_file(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"secret of ben").hexdigest()
    told = read_users(
        users(
            tmp_path,
            '[users.ann]\ntoken = "secret of ann"\nrole = "write"\norgs = ["team"]\n'
            f'[users.ben]\ntoken_sha256 = "{digest.upper()}"\n',
        )
    )
    ann, ben = told.user("secret of ann"), told.user("secret of ben")
    assert ann
    assert ben
    assert (ann.name, ben.name, told.user("secret of eve")) == ("ann", "ben", None)
    assert check_may_write(ann, "team") is check_may_write(ann, "Ann") is ann
    for user, owner in ((ann, "ben"), (ben, "ben")):
        with pytest.raises(Forbidden):
            check_may_write(user, owner)
    with pytest.raises(NotLoggedIn):
        check_may_write(None, "ann")
    assert may_read(ben, "ben", private=True)
    assert may_read(None, "ann", private=False)
    assert not may_read(ben, "ann", private=True)
    assert not may_read(None, "ann", private=True)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no table"),
        ("users = 3", "no table"),
        ("[users.ann", "cannot be read"),
        ("[users.ann]", "either token or"),
        ('[users.ann]\ntoken = "short"', "at least 8"),
        ('[users.ann]\ntoken = "long enough"\ntoken_sha256 = "x"', "either token or"),
        ('[users.ann]\ntoken_sha256 = "x"', "64 hex digits"),
        ('[users.ann]\ntoken = "long enough"\nrole = "admin"', "role is"),
        ('[users.ann]\ntoken = "long enough"\norgs = "team"', "orgs is"),
        ('[users.ann]\ntoken = "long enough"\norgs = ["../x"]', "cannot be the name"),
        ('[users.ann]\ntoken = "long enough"\nrights = 3', "is a table of"),
        ('[users."a/b"]\ntoken = "long enough"', "cannot be the name"),
        ('[users.a]\ntoken = "long enough"\n[users.b]\ntoken = "long enough"', "one token"),
    ],
)
def test_a_wrong_file_of_users_is_refused(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        read_users(users(tmp_path, text))


def test_the_local_user_keeps_its_token(tmp_path: Path) -> None:
    accounts, token, new = local_user(tmp_path)
    assert new
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    again, same, newer = local_user(tmp_path)
    assert (same, newer) == (token, False)
    user = again.user(token)
    assert user == accounts.user(token)
    assert user
    assert user.name == "local"
    assert kept_secret(tmp_path / "secret")[0] != token
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "token"]
