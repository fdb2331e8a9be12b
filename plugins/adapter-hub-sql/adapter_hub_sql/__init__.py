"""Text-to-SQL rows as a dataset of adapter-hub: an example of one with splits and options."""

from __future__ import annotations

from adapter_hub.hookspecs import RegisterDataset, hookimpl


@hookimpl
def register_datasets(register: RegisterDataset) -> None:
    register(
        "sql",
        "adapter_hub_sql.rows:rows",
        summary="questions about a table, and the SQL that answers them (a sample of WikiSQL)",
        splits=("train", "validation"),
        licence="BSD-3-Clause",
        columns={
            "prompt": "a table's name and columns, and a question about it",
            "completion": "the query that answers it",
            "messages": "both as a conversation, with style=messages",
        },
    )
