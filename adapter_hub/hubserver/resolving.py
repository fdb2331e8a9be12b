"""Downloads: the headers that clients decide by, and the bytes, in ranges if asked."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import quote

from starlette.responses import FileResponse, Response

from adapter_hub.hubserver.calls import Call

# What a browser may show. Anything else could be a page that acts in the Hub's name.
_IMAGES = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
_TEXTS = frozenset({".json", ".jsonl", ".md", ".py", ".toml", ".txt", ".yaml", ".yml", ".csv"})


class _BlobResponse(FileResponse):
    chunk_size = 1 << 20  # each piece waits for a thread


def resolve(call: Call) -> Response:
    """Never says anything of Xet: a client that hears of it goes elsewhere."""
    repository, _ = call.open_to_user()
    path = call.part("path")
    commit, file = repository.file(call.part("rev"), path)
    headers = {
        "X-Repo-Commit": commit.id,
        "ETag": f'"{file.etag}"',
        "Accept-Ranges": "bytes",
        "Access-Control-Expose-Headers": "*",
        "Cache-Control": "no-cache",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(PurePosixPath(path).name)}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    if file.lfs:
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    return _BlobResponse(
        repository.blobs.path(file.sha256), headers=headers, media_type=_media_type(path)
    )


def _media_type(path: str) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _TEXTS:
        return "text/plain; charset=utf-8"
    return _IMAGES.get(suffix, "application/octet-stream")
