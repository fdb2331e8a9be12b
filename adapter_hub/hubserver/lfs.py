"""LFS uploads: the batch that asks what is needed, signed addresses, and the content."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapter_hub.hubserver.calls import Call, hub_of
from adapter_hub.hubserver.names import SHA256
from adapter_hub.hubserver.refusals import Forbidden, NotFound, Refused
from adapter_hub.hubserver.repository import Repository

_PIECE = 1 << 20
_VALID_SECONDS = 6 * 3600


def batch(call: Call) -> Response:
    """Of every object: where to upload it, or nothing where it is here already."""
    repository, _, _ = call.writable()
    if call.json.get("operation") != "upload":
        raise Refused("Only uploads are asked for here; downloads are at /resolve.")
    objects = call.json.get("objects")
    if not isinstance(objects, list):
        raise Refused('"objects" must be an array.')
    told = [_needed(call, repository, each) for each in objects]
    return JSONResponse({"transfer": "basic", "objects": told})


def _needed(call: Call, repository: Repository, asked: Any) -> dict[str, Any]:
    oid, size = (asked.get("oid"), asked.get("size")) if isinstance(asked, dict) else (None, None)
    if not isinstance(oid, str) or not SHA256.fullmatch(oid) or type(size) is not int or size < 0:
        return {"oid": oid, "size": size, "error": {"code": 422, "message": "bad oid or size"}}
    told: dict[str, Any] = {"oid": oid, "size": size}
    repository.blobs.renew(oid)
    if repository.blobs.size(oid) != size:
        told["actions"] = {
            "upload": {"href": _signed(call, oid, size)},
            "verify": {"href": f"{call.base_url}/lfs/{call.kind}s/{call.id}/verify"},
        }
    return told


def _signed(call: Call, oid: str, size: int) -> str:
    """The client sends no token there: the address itself is the permission, for one content."""
    expires = int(time.time()) + _VALID_SECONDS
    query = {
        "size": size,
        "expires": expires,
        "signature": _signature(call, oid, size, expires),
    }
    return f"{call.base_url}/lfs/{call.kind}s/{call.id}/{oid}?{urlencode(query)}"


def _signature(call: Call, oid: str, size: int, expires: int) -> str:
    text = f"{call.kind}/{call.id}/{oid}/{size}/{expires}"
    return hmac.new(call.hub.secret, text.encode(), hashlib.sha256).hexdigest()


async def upload(request: Request) -> Response:
    """Takes exactly the content that the address was signed for."""
    call = Call(hub_of(request), request)
    repository, oid, size = await run_in_threadpool(_permitted, call)
    with repository.blobs.incoming() as incoming:
        piece = bytearray()
        async for part in request.stream():
            piece += part
            if incoming.size + len(piece) > size:
                raise Refused("More bytes than announced.")
            if len(piece) >= _PIECE:
                await run_in_threadpool(incoming.write, bytes(piece))
                piece.clear()
        await run_in_threadpool(incoming.write, bytes(piece))
        if incoming.sha256 != oid or incoming.size != size:
            raise Refused(f"The content arrived as sha256 {incoming.sha256}, not {oid}.")
        await run_in_threadpool(incoming.keep)
    return Response(headers={"ETag": f'"{oid}"'})


def _permitted(call: Call) -> tuple[Repository, str, int]:
    """What the signed address permits. Raises Forbidden, RepoNotFound."""
    oid = call.part("oid")
    size = call.number("size", 0, 1 << 62) if call.request.query_params.get("size") != "0" else 0
    expires = call.number("expires", 1, 1 << 62)
    given = call.request.query_params.get("signature", "").encode()
    if not hmac.compare_digest(given, _signature(call, oid, size, expires).encode()):
        raise Forbidden("This address was not signed here.")
    if expires < time.time():
        raise Forbidden("This address has expired; ask for a new one.")
    repository = call.store.repository(call.kind, call.id)
    repository.state()
    return repository, oid, size


def verify(call: Call) -> Response:
    repository, _, _ = call.writable()
    oid = call.text("oid")
    if not SHA256.fullmatch(oid) or repository.blobs.size(oid) != call.json.get("size"):
        raise NotFound("There is no such object.")
    return JSONResponse({})
