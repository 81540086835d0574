"""Airflow's REST API (`/api/v2`) as the demo and the tests need it: trigger, unpause, wait, read."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from embedded.errors import EmbeddedAirflowError

FINISHED = frozenset({"success", "failed"})
T = TypeVar("T")


def wait_until(look: Callable[[], T | None], *, what: str, timeout: float, every: float = 0.2) -> T:
    """Call `look` until it gives something else than None.

    Raises EmbeddedAirflowError naming `what` after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while (seen := look()) is None:
        if time.monotonic() > deadline:
            raise EmbeddedAirflowError(f"Waited {timeout:.0f} s in vain for {what}.")
        time.sleep(every)
    return seen


class AirflowApi:
    """A logged-in client of one Airflow. Close it, or use it in a `with`.

    Every call raises EmbeddedAirflowError with the server's own words when it is refused; a DAG is
    found by its id as soon as the DAG processor has parsed it.
    """

    def __init__(self, base_url: str, username: str, password: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._login = {"username": username, "password": password}
        self._http = httpx.Client(base_url=self.base_url, timeout=60.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """One request below `/api/v2`; returns the parsed answer (None when it is empty)."""
        if "Authorization" not in self._http.headers:
            self._log_in()
        answer = self._http.request(method, f"/api/v2{path}", **arguments)
        if answer.status_code == 401:
            self._log_in()
            answer = self._http.request(method, f"/api/v2{path}", **arguments)
        if answer.is_error:
            raise EmbeddedAirflowError(
                f"Airflow refused {method} {path} ({answer.status_code}): {answer.text[:1000]}"
            )
        return answer.json() if answer.content else None

    def health(self) -> dict[str, str]:
        """Status by component, as `/monitor/health` tells it; empty while the server does not answer."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5.0)
            found = answer.json()
        except (httpx.HTTPError, ValueError):
            return {}
        return {name: str((part or {}).get("status")) for name, part in found.items()}

    def wait_for_dag(self, dag_id: str, *, timeout: float = 60.0) -> dict[str, Any]:
        """The DAG as the API describes it, once it has been parsed."""

        def look() -> dict[str, Any] | None:
            found = self.call("GET", "/dags", params={"dag_id_pattern": dag_id, "limit": 100})
            return next((dag for dag in found["dags"] if dag["dag_id"] == dag_id), None)

        return wait_until(look, what=f"DAG {dag_id} to be parsed", timeout=timeout)

    def unpause(self, dag_id: str, *, timeout: float = 60.0) -> None:
        """Switch a DAG on, waiting until it has been parsed; its watchers start as soon as they can.

        Airflow starts the watchers of a DAG that was off when it parses the file the next time,
        which is up to `min_file_process_interval` later: so that is asked for at once.
        """
        dag = self.wait_for_dag(dag_id, timeout=timeout)
        self.call("PATCH", f"/dags/{quote(dag_id)}", json={"is_paused": False})
        try:
            self.call("PUT", f"/parseDagFile/{dag['file_token']}")
        except EmbeddedAirflowError as refusal:
            if "Unique constraint violation" not in str(refusal):
                raise  # else somebody asked for it a moment ago, and the DAG processor has yet to come to it

    def wait_for_watchers(self, dag_id: str, *, timeout: float = 60.0) -> None:
        """Wait until every asset that schedules this DAG is watched; one without a watcher is in vain."""

        def look() -> bool | None:
            found = self.call("GET", "/assets", params={"dag_ids": dag_id, "limit": 100})
            scheduling = [
                asset
                for asset in found["assets"]
                if any(dag["dag_id"] == dag_id for dag in asset["scheduled_dags"])
            ]
            return (bool(scheduling) and all(asset["watchers"] for asset in scheduling)) or None

        wait_until(look, what=f"the watchers of {dag_id}", timeout=timeout)

    def pause(self, dag_id: str) -> None:
        """Switch a DAG off."""
        self.call("PATCH", f"/dags/{quote(dag_id)}", json={"is_paused": True})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run by hand; returns its run id."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self.call("POST", f"/dags/{quote(dag_id)}/dagRuns", json=body)["dag_run_id"])

    def runs(self, dag_id: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """The newest runs of a DAG, newest first."""
        found = self.call(
            "GET",
            f"/dags/{quote(dag_id)}/dagRuns",
            params={"order_by": "-run_after", "limit": limit},
        )
        return list(found["dag_runs"])

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float = 120.0) -> str:
        """Wait until a run has ended; returns `success` or `failed`."""
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"

        def look() -> str | None:
            state = str(self.call("GET", path)["state"])
            return state if state in FINISHED else None

        return wait_until(look, what=f"run {run_id} of {dag_id} to end", timeout=timeout)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Every task instance of a run as the API describes it (states, times, tries), in no particular order."""
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", path, params={"limit": 100, "offset": len(found)})
            found.extend(page["task_instances"])
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """State by task id of a run; a mapped instance is named `task[index]`."""
        states: dict[str, str | None] = {}
        for instance in self.task_instances(dag_id, run_id):
            index = instance.get("map_index", -1)
            name = instance["task_id"] if index < 0 else f"{instance['task_id']}[{index}]"
            states[name] = instance["state"]
        return states

    def xcom(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        key: str = "return_value",
        *,
        map_index: int = -1,
    ) -> Any:
        """The value that a task returned, or pushed under `key`."""
        path = (
            f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"
            f"/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}"
        )
        answer = self.call(
            "GET",
            path,
            params={"map_index": map_index, "deserialize": "true", "stringify": "false"},
        )
        return answer["value"]

    def import_errors(self) -> dict[str, str]:
        """Traceback by file name of every DAG file that cannot be imported."""
        found = self.call("GET", "/importErrors", params={"limit": 100})
        return {entry["filename"]: entry["stack_trace"] for entry in found["import_errors"]}

    def _log_in(self) -> None:
        answer = self._http.post("/auth/token", json=self._login)
        if answer.is_error:
            raise EmbeddedAirflowError(
                f"Airflow refused the login of {self._login['username']} ({answer.status_code})."
            )
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
