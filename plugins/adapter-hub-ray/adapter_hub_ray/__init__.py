"""``--on ray``: one adapter, or one trial of a sweep, per Ray task."""

from __future__ import annotations

from adapter_hub import hookimpl


@hookimpl
def register_executors(register):  # type: ignore[no-untyped-def]
    register(
        "ray",
        "adapter_hub_ray.cluster:Cluster",
        summary="one run per Ray task, on a cluster that is there or on this machine",
    )
