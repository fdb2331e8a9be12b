"""A Hub in a process of its own, and the stock client in this one."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hubbox import HubBox
from huggingface_hub import HfApi, constants

from adapter_hub.hubserver.repository import Repository
from adapter_hub.hubserver.store import Store

USERS = """\
[users.ann]
token = "token-of-ann"
role = "write"
orgs = ["team"]

[users.ben]
token = "token-of-ben"
role = "write"
orgs = ["team"]

[users.eve]
token = "token-of-eve"
role = "write"

[users.rob]
token = "token-of-rob"
role = "read"
orgs = ["team"]
"""


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubBox]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "users.toml").write_text(USERS)
    with HubBox(folder / "box", "--users", str(folder / "users.toml")) as running:
        yield running


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """HF_HUB_OFFLINE is read when the client is imported; and its cache is this test's own."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def client(box: HubBox) -> Callable[[str], HfApi]:
    """The stock client of a user; of nobody for ''."""
    return lambda user: HfApi(endpoint=box.endpoint, token=f"token-of-{user}" if user else False)


@pytest.fixture
def ann(client: Callable[[str], HfApi]) -> HfApi:
    return client("ann")


_numbers = itertools.count()


@pytest.fixture
def repo(ann: HfApi) -> str:
    """A new repository of ann's."""
    id = f"ann/repo{next(_numbers)}"
    ann.create_repo(id)
    return id


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Store(tmp_path / "store").create("model", "ann/sums", private=False, author="ann")


@contextlib.contextmanager
def _refused(status: int) -> Iterator[None]:
    from huggingface_hub.errors import HfHubHTTPError

    with pytest.raises(HfHubHTTPError) as caught:
        yield
    assert caught.value.response.status_code == status, caught.value


@pytest.fixture
def refused() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """``with refused(403):`` the client raises for this status."""
    return _refused
