"""An executor that schedules runs on a Ray cluster.

Ray makes a task whose worker died again, by itself; adapter-hub goes on with the run from its last
checkpoint. Every node must see the registry's folder, and have adapter-hub installed.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from adapter_hub import make_run
from adapter_hub.errors import TrainingError, UsageError


class Cluster:
    """Connects at the first look at what it can do, and leaves when its runs are done."""

    def __init__(
        self,
        *,
        address: Annotated[
            str | None,
            "a cluster that is there: HOST:PORT as `ray start` tells it, or auto; left out: this machine",
        ] = None,
        cpus: Annotated[float, "processors for each run"] = 1.0,
        gpus: Annotated[
            float | None, "GPUs for each run; left out: one where the cluster has any"
        ] = None,
        retries: Annotated[int, "how often a run whose process died is made again"] = 3,
        logs: Annotated[bool, "show what the runs say, too"] = False,
    ) -> None:
        if cpus <= 0 or (gpus is not None and gpus < 0) or retries < 0:
            raise UsageError(
                f"cpus must be more than 0, gpus and retries at least 0, not {cpus:g}, {gpus} and {retries}."
            )
        self._address, self._cpus, self._gpus = address, cpus, gpus
        self._retries, self._logs = retries, logs

    @property
    def at_once(self) -> int:
        """As many as the cluster's processors and GPUs are enough for."""
        ray = self._connected()
        has = ray.cluster_resources()
        gpus = self._gpus_of(has)
        room = [has.get("CPU", 0.0) / self._cpus, has.get("GPU", 0.0) / gpus if gpus else 1e9]
        if min(room) < 1:
            raise UsageError(
                f"the cluster has {has.get('CPU', 0):g} processors and {has.get('GPU', 0):g} GPUs, "
                f"and a run is to have {self._cpus:g} and {gpus:g}.",
                hint="ask for less: --on-option cpus=1 --on-option gpus=0",
            )
        return int(min(room))

    def __call__(
        self,
        runs: Sequence[Mapping[str, Any]],
        done: Callable[[int, Mapping[str, Any]], None],
    ) -> None:
        """One task for each run, ``done`` called as they end.

        Raises TrainingError when the cluster is lost, KeyboardInterrupt after the tasks were told
        to save their state.
        """
        assert self.at_once
        ray = self._connected()
        task = ray.remote(make_run).options(
            num_cpus=self._cpus,
            num_gpus=self._gpus_of(ray.cluster_resources()),
            max_retries=self._retries,
        )
        waiting = {task.remote(dict(run)): number for number, run in enumerate(runs)}
        try:
            # Ray tells of workers that died on standard output, which is for data.
            with contextlib.redirect_stdout(sys.stderr):
                while waiting:
                    (ready, *_), _ = ray.wait(list(waiting))
                    done(waiting.pop(ready), self._outcome(ray, ready))
        except KeyboardInterrupt:
            for each in waiting:
                ray.cancel(each, force=False)
            # They save their state, which takes a step of the training and a moment.
            ray.wait(list(waiting), num_returns=len(waiting), timeout=60)
            raise

    def _outcome(self, ray: Any, ready: Any) -> Mapping[str, Any]:
        try:
            told: Mapping[str, Any] = ray.get(ready)
            return told
        except ray.exceptions.WorkerCrashedError:
            error = f"its process died, {self._retries + 1} times"
        except ray.exceptions.RayTaskError as failed:
            error = str(failed.cause).strip().splitlines()[-1]
        except ray.exceptions.RayError as failed:
            raise TrainingError(
                f"the cluster is lost: {str(failed).strip().splitlines()[0]}",
                hint="the same command goes on when it is back",
            ) from failed
        return {"outcome": "failed", "error": error, "result": None}

    def _gpus_of(self, resources: Mapping[str, float]) -> float:
        if self._gpus is not None:
            return self._gpus
        return 1.0 if resources.get("GPU", 0.0) else 0.0

    def _require_answer(self) -> None:
        """Ray itself tries for minutes where nobody is. Raises TrainingError."""
        host, _, port = (self._address or "").rpartition(":")
        if not host or not port.isdigit():
            return
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise TrainingError(
                f"there is no Ray cluster at {self._address}: {error}.",
                hint="start one: ray start --head; or leave address out, for this machine",
            ) from error

    def _connected(self) -> Any:
        import ray

        if ray.is_initialized():
            return ray
        self._require_answer()
        local = {} if self._address else {"include_dashboard": False}
        try:
            with contextlib.redirect_stdout(None):
                ray.init(
                    address=self._address or "local",
                    namespace="adapter-hub",
                    logging_level=logging.ERROR,
                    log_to_driver=self._logs,
                    **local,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = self._address or "on this machine"
            raise TrainingError(
                f"there is no Ray cluster at {where}: {str(error).strip().splitlines()[0]}"
                if self._address
                else f"Ray cannot be started {where}: {str(error).strip().splitlines()[0]}",
                hint="start one: ray start --head; or leave address out, for this machine. A cluster "
                "that wants a token: RAY_AUTH_MODE=token",
            ) from error
        return ray
