"""The Python client of the HTTP API; the command line uses it for everything that needs a server."""

import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx

from orchestrator.states import TERMINAL

DEFAULT_URL = "http://127.0.0.1:8000"


class Refused(Exception):  # noqa: N818  names what the server did
    """A request was refused with a problem document; the message lists every problem in it."""

    def __init__(self, document: dict[str, Any]) -> None:
        lines = [f"{document.get('title', 'Error')}: {document.get('detail', '')}"]
        for error in document.get("errors", []):
            hint = f" (did you mean {error['suggestion']!r}?)" if "suggestion" in error else ""
            lines.append(f"  {error.get('pointer') or error.get('parameter') or '/'}: {error['message']}{hint}")
        super().__init__("\n".join(lines))
        self.document = document


def address() -> str:
    """Returns the server's URL: RELEARN_URL, or what `relearn up` wrote to the home folder, or the default."""
    if url := os.environ.get("RELEARN_URL"):
        return url
    try:
        services = json.loads((Path(os.environ.get("RELEARN_HOME", ".relearn")) / "services.json").read_text())
        return str(services["api"])
    except (OSError, ValueError, KeyError):
        return DEFAULT_URL


class Client:
    """A connection to a relearn server.

    Every method raises Refused if the server answers with a problem document, and httpx.TransportError if it does not
    answer.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        token = token or os.environ.get("RELEARN_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url or address(), headers=headers, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def submit(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Posts a spec or a capsule and returns the new experiment with its plan.

        A request that is delivered twice starts one experiment.
        """
        return self._call("POST", "/experiments", json=spec, headers={"Idempotency-Key": secrets.token_hex(16)})

    def plan(self, spec: dict[str, Any], measure: bool = False) -> dict[str, Any]:
        """Returns what posting `spec` would train, share and cost; `measure` first times a few steps on the cluster."""
        timeout_s = 300 if measure else 60
        return self._call("POST", "/experiments/plan", json=spec, params={"measure": measure}, timeout=timeout_s)

    def experiments(self) -> list[dict[str, Any]]:
        """Returns the newest experiments."""
        return self._items("/experiments")

    def experiment(self, identity: str) -> dict[str, Any]:
        """Returns the state and progress of an experiment."""
        return self._call("GET", f"/experiments/{identity}")

    def results(self, identity: str) -> list[dict[str, Any]]:
        """Returns the results of an experiment so far, as tidy rows."""
        rows: list[dict[str, Any]] = self._call("GET", f"/experiments/{identity}/results")["rows"]
        return rows

    def report(self, identities: list[str], format: str = "html") -> str:
        """Returns the report of one or several experiments as html, markdown, latex, csv or json."""
        answer = self._http.get("/report", params={"experiment": identities, "format": format})
        if answer.is_error:
            raise Refused(_document(answer))
        return answer.text

    def cancel(self, identity: str) -> dict[str, Any]:
        """Cancels an experiment and returns its state."""
        return self._call("POST", f"/experiments/{identity}/cancel")

    def clean(self, delete: bool = False, grace_days: float = 7, experiment: str | None = None) -> dict[str, Any]:
        """Returns the checkpoints and folders that are no longer needed, and removes them if `delete` is true.

        Everything younger than `grace_days` is kept. With `experiment`, only its nodes are considered.
        """
        request = {"delete": delete, "grace_days": grace_days, "experiment": experiment}
        return self._call("POST", "/gc", json=request, timeout=None)

    def capsule(self, identity: str) -> dict[str, Any]:
        """Returns an experiment as one document, which `submit` accepts."""
        return self._call("GET", f"/experiments/{identity}/capsule")

    def verdict(self, identity: str) -> dict[str, Any]:
        """Compares an experiment with the capsule it was posted as."""
        return self._call("GET", f"/experiments/{identity}/verdict")

    def methods(self) -> list[dict[str, Any]]:
        """Returns the methods that a spec may name on the server, each with its JSON schema."""
        return self._items("/methods")

    def evaluators(self) -> list[dict[str, Any]]:
        """Returns the evaluators that a spec may name on the server, each with its JSON schema."""
        return self._items("/evaluators")

    def models(self) -> list[dict[str, Any]]:
        """Returns the networks that a spec may name on the server, each with its JSON schema."""
        return self._items("/models")

    def presets(self) -> list[dict[str, Any]]:
        """Returns the presets, which are experiments to start from."""
        return self._items("/presets")

    def preset(self, name: str) -> dict[str, Any]:
        """Returns the preset `name`, such as digits/table-2, with its spec."""
        return self._call("GET", f"/presets/{name}")

    def health(self) -> dict[str, Any]:
        """Returns the health of the server and the addresses of its dashboards."""
        return self._call("GET", "/healthz")

    def watch(self, identity: str, every_s: float = 1.0) -> Iterator[dict[str, Any]]:
        """Yields the state and progress of an experiment every `every_s` seconds until it has ended.

        While the server does not answer, the method keeps trying.
        """
        while True:
            try:
                view = self.experiment(identity)
            except httpx.TransportError:
                time.sleep(every_s)
                continue
            yield view
            if view["state"] in TERMINAL:
                return
            time.sleep(every_s)

    def _items(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._call("GET", path)["items"]
        return items

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self._http.request(method, path, **options)
        document = _document(answer)
        if answer.is_error:
            raise Refused(document)
        return document


def _document(answer: httpx.Response) -> dict[str, Any]:
    """Returns the JSON of `answer`. Raises Refused if it is not JSON."""
    try:
        document: dict[str, Any] = answer.json()
        return document
    except ValueError as error:
        document = {"title": f"{answer.url} answered {answer.status_code}", "detail": answer.text[:500]}
        raise Refused(document) from error
