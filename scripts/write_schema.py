"""Write the JSON Schema of registry.toml into the package: run it when a record has changed.

python scripts/write_schema.py
"""

from __future__ import annotations

from pathlib import Path

from adapter_hub.registry import json_schema
from adapter_hub.registry.editors import FILE_NAME

if __name__ == "__main__":
    path = Path(json_schema.__file__).with_name(FILE_NAME)
    path.write_text(json_schema.schema_text(), encoding="utf-8", newline="")
    print(path)
