"""``python -m adapter_hub``."""

from __future__ import annotations

from adapter_hub.cli.main import main

if __name__ == "__main__":
    main()
