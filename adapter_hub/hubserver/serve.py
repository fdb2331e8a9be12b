"""Running the Hub: its folder, its port, and its end."""

from __future__ import annotations

import errno
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn

from adapter_hub.errors import AdapterHubError
from adapter_hub.hubserver.accounts import Accounts, kept_secret, local_user, read_users
from adapter_hub.hubserver.app import make_app
from adapter_hub.hubserver.calls import Hub
from adapter_hub.hubserver.collecting import collect
from adapter_hub.hubserver.store import DAY, Store


def serve(
    folder: Path,
    host: str,
    port: int,
    users: Path | None,
    *,
    tell: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    """Serve the repositories in ``folder`` until SIGINT or SIGTERM.

    ``tell`` gets the lines that a shell can run, ``say`` the talk. Raises UsageError for a bad
    file of users, AdapterHubError where the folder or the port cannot be used.
    """
    accounts = read_users(users) if users else None
    store, secret, local, token = _open(folder, accounts is None)
    listening = _listen(host, port)
    with listening:
        server = _server(store, accounts or local, secret)
        threading.Thread(target=_keep_clean, args=(store,), daemon=True).start()
        tell(f"export HF_ENDPOINT={_address(listening)}")
        if token:
            tell(f"export HF_TOKEN={token}")
        elif accounts is None:
            say(f"the token of user local is in {folder / 'token'}")
        server.run(sockets=[listening])
    say("stopped")


def _keep_clean(store: Store) -> None:
    """Now and then delete what nothing names, for as long as the process lives."""
    while True:
        try:
            collect(store)
        except (OSError, ValueError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        time.sleep(DAY)


def _open(folder: Path, with_local: bool) -> tuple[Store, bytes, Accounts, str | None]:
    """Store, secret, the local user, and the token when it is a new one. Raises AdapterHubError."""
    try:
        store = Store(folder)
        secret, _ = kept_secret(folder / "secret")
        if not with_local:
            return store, secret.encode(), Accounts([]), None
        accounts, token, new = local_user(folder)
    except OSError as error:
        raise AdapterHubError(
            f"{error.filename or folder} cannot be read or written: {error.strerror}.",
            hint="adapter-hub hub serve ANOTHER_FOLDER",
        ) from None
    return store, secret.encode(), accounts, token if new else None


def _listen(host: str, port: int) -> socket.socket:
    """Raises AdapterHubError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program has it" if taken else error.strerror or str(error)
        raise AdapterHubError(
            f"{host} port {port} cannot be listened on: {why}.",
            hint="--port 0 takes a free one" if taken else None,
        ) from None
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()  # every address is one that nobody can connect to
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _server(store: Store, accounts: Accounts, secret: bytes) -> uvicorn.Server:
    settings = uvicorn.Config(
        make_app(Hub(store, accounts, secret)),
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # A client that uses its connection again after a while must still find it open.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(settings)

    def stop(_number: int, _frame: object) -> None:
        """For a signal that comes before uvicorn listens for it.

        And when it has stopped, uvicorn sends itself the signal again for whoever started it.
        """
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return server
