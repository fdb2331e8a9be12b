"""Tar files in one strict form: regular files of POSIX ustar, in order, nothing else.

Python's tarfile reads what a hostile file can say in many ways (links, devices, names in extended
headers of any length). A bundle needs none of them, so a header that is not of this one form is
an error and never an instruction. Any tar program reads what is written here.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from adapter_hub.errors import UsageError, VerificationError

_BLOCK = 512
_CHUNK = 1 << 20
_OCTAL_LIMIT = 8**11
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a pipe",
    b"g": "an extended header",
    b"x": "an extended header",
}

Read = Callable[[], Iterator[bytes]]


def open_for_writing(file: BinaryIO, compressed: bool) -> BinaryIO:
    """``file`` itself, or a gzip stream into it that tells no name and no time."""
    if not compressed:
        return file
    return cast(BinaryIO, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0))


def header(name: str, size: int) -> bytes:
    """The header of a regular file: no owner, no time. Raises UsageError for too long a name."""
    prefix, last = _split(name)
    # Sizes that eleven octal digits cannot tell are binary, as GNU tar began and all read.
    told = b"%011o\0" % size if size < _OCTAL_LIMIT else b"\x80" + size.to_bytes(11, "big")
    fields = [
        last.ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,
        told,
        b"00000000000\0",
        b" " * 8,
        b"0".ljust(101, b"\0"),
        b"ustar\00000".ljust(72, b"\0"),
        b"0000000\0" * 2,
        prefix.ljust(155, b"\0"),
    ]
    block = b"".join(fields).ljust(_BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padding(size: int) -> bytes:
    """What fills the last block of a file of ``size`` bytes."""
    return b"\0" * (-size % _BLOCK)


END = b"\0" * (2 * _BLOCK)


def read_members(path: Path) -> Iterator[tuple[str, int, Read]]:
    """(name, size, what gives its bytes in pieces) of each file, in order; gzip is told by its bytes.

    Raises VerificationError for what is not of the one form, or ends too early; OSError.
    """
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if compressed else cast(BinaryIO, raw)
        yield from _members(path, file)


def _members(path: Path, file: BinaryIO) -> Iterator[tuple[str, int, Read]]:
    while True:
        block = _exactly(path, file, _BLOCK)
        if block == b"\0" * _BLOCK:
            if _exactly(path, file, _BLOCK) != block or _read(path, file, 1):
                raise VerificationError(f"{path} is damaged: something is behind its end.")
            return
        name, size = _parse(path, block)
        left = size

        def read() -> Iterator[bytes]:
            nonlocal left
            while left:
                chunk = _exactly(path, file, min(_CHUNK, left))
                left -= len(chunk)
                yield chunk

        yield name, size, read
        for _ in read():
            pass
        if _exactly(path, file, -size % _BLOCK).strip(b"\0"):
            raise VerificationError(f"{path} is damaged: something is behind {name!r}.")


def _parse(path: Path, block: bytes) -> tuple[str, int]:
    plain = block[:148] + b" " * 8 + block[156:]
    if block[257:263] != b"ustar\0" or _octal(block[148:156]) != sum(plain):
        raise VerificationError(f"{path} is not a bundle: a header of it is no tar header of 1988.")
    parts = [_text(block[345:500]), _text(block[:100])]
    try:
        name = "/".join(part.decode("utf-8") for part in parts if part)
    except UnicodeDecodeError:
        raise VerificationError(f"{path} is refused: a name in it is not UTF-8.") from None
    kind = block[156:157]
    if kind not in (b"0", b"\0") or block[157:257].strip(b"\0"):
        raise VerificationError(
            f"{path} is refused: {name!r} in it is {_KINDS.get(kind, 'no regular file')}."
        )
    size = block[124:136]
    number = int.from_bytes(size[1:], "big") if size[0] == 0x80 else _octal(size)
    if number is None or number >= 2**62:
        raise VerificationError(f"{path} is refused: {name!r} in it has no size.")
    return name, number


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


def _exactly(path: Path, file: BinaryIO, length: int) -> bytes:
    chunk = _read(path, file, length) if length else b""
    while len(chunk) < length:
        more = _read(path, file, length - len(chunk))
        if not more:
            raise VerificationError(f"{path} is damaged: it ends too early.")
        chunk += more
    return chunk


def _read(path: Path, file: BinaryIO, length: int) -> bytes:
    try:
        return file.read(length)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise VerificationError(f"{path} is damaged: {error}.") from None


def _split(name: str) -> tuple[bytes, bytes]:
    """(prefix, rest) of a name, parted at a slash, in their places of 155 and 100 bytes."""
    whole = name.encode()
    if len(whole) <= 100:
        return b"", whole
    places = [place for place, byte in enumerate(whole[:156]) if byte == ord("/")]
    for place in reversed(places):
        if len(whole) - place - 1 <= 100:
            return whole[:place], whole[place + 1 :]
    raise UsageError(f"the name {name!r} is too long for a bundle.")
