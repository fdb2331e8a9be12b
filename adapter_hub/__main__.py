"""``adapter-hub`` and ``python -m adapter_hub``."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script. Ctrl-C during the imports ends it as quietly as later."""
    try:
        from adapter_hub.cli.main import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
