"""Cut the packaged Shakespeare excerpt out of the tinyshakespeare file, at the end of a speech.

python scripts/cut_shakespeare.py tinyshakespeare.txt adapter_hub/datasets/shakespeare.txt
"""

from __future__ import annotations

import argparse
from pathlib import Path

SPEECH_BREAK = b"\n\n"


def cut_at_speech(text: bytes, max_bytes: int) -> bytes:
    """Return the longest start of ``text`` within ``max_bytes`` that ends with a whole speech."""
    if len(text) <= max_bytes:
        return text
    # One byte is kept back for the newline that ends the file; a blank line ends every speech.
    end = text.rfind(SPEECH_BREAK, 0, max_bytes - 1 + len(SPEECH_BREAK))
    if end < 0:
        raise ValueError(f"no speech ends within the first {max_bytes} bytes")
    return text[:end] + b"\n"


def main() -> None:
    """Read the whole file, write the excerpt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path, help="the tinyshakespeare text")
    parser.add_argument("target", type=Path, help="where the excerpt goes")
    parser.add_argument("--max-bytes", type=int, default=400_000)
    options = parser.parse_args()
    excerpt = cut_at_speech(options.source.read_bytes(), options.max_bytes)
    options.target.write_bytes(excerpt)
    print(f"{options.target}: {len(excerpt):,} bytes")


if __name__ == "__main__":
    main()
