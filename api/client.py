"""The Python client: everything the command line does goes through it."""

import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx

DEFAULT_URL = "http://127.0.0.1:8000"
TERMINAL = ("SUCCEEDED", "FAILED", "CANCELLED")


class Refused(Exception):  # noqa: N818  what the server did
    """The server answered with a problem document; the message lists every problem it names."""

    def __init__(self, document: dict[str, Any]) -> None:
        lines = [f"{document.get('title', 'Error')}: {document.get('detail', '')}"]
        for error in document.get("errors", []):
            hint = f" (did you mean {error['suggestion']!r}?)" if "suggestion" in error else ""
            lines.append(f"  {error.get('pointer') or error.get('parameter') or '/'}: {error['message']}{hint}")
        super().__init__("\n".join(lines))
        self.document = document


def address() -> str:
    """RELEARN_URL, else what a running `relearn up` wrote into the home folder, else the default."""
    if url := os.environ.get("RELEARN_URL"):
        return url
    try:
        services = json.loads((Path(os.environ.get("RELEARN_HOME", ".relearn")) / "services.json").read_text())
        return str(services["api"])
    except (OSError, ValueError, KeyError):
        return DEFAULT_URL


class Client:
    """A relearn server. Methods raise Refused for its problem documents and httpx.TransportError where it is away."""

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
        """Posts an experiment; a lost answer cannot make it run twice."""
        return self._call("POST", "/experiments", json=spec, headers={"Idempotency-Key": secrets.token_hex(16)})

    def plan(self, spec: dict[str, Any], measure: bool = False) -> dict[str, Any]:
        """What posting `spec` would do, share and cost; with `measure`, after timing a few steps on the cluster."""
        timeout_s = 300 if measure else 60
        return self._call("POST", "/experiments/plan", json=spec, params={"measure": measure}, timeout=timeout_s)

    def experiments(self) -> list[dict[str, Any]]:
        """The newest experiments."""
        return self._items("/experiments")

    def experiment(self, identity: str) -> dict[str, Any]:
        """State and progress."""
        return self._call("GET", f"/experiments/{identity}")

    def results(self, identity: str) -> list[dict[str, Any]]:
        """Tidy result rows."""
        rows: list[dict[str, Any]] = self._call("GET", f"/experiments/{identity}/results")["rows"]
        return rows

    def report(self, identities: list[str], format: str = "html") -> str:
        """The report of an experiment, or of several as one: html, markdown, latex, csv or json."""
        answer = self._http.get("/report", params={"experiment": identities, "format": format})
        if answer.is_error:
            raise Refused(_document(answer))
        return answer.text

    def cancel(self, identity: str) -> dict[str, Any]:
        """Asks the experiment to end."""
        return self._call("POST", f"/experiments/{identity}/cancel")

    def clean(self, delete: bool = False, grace_days: float = 7, experiment: str | None = None) -> dict[str, Any]:
        """What nobody needs any more, removed if `delete`."""
        asked = {"delete": delete, "grace_days": grace_days, "experiment": experiment}
        return self._call("POST", "/gc", json=asked, timeout=None)

    def capsule(self, identity: str) -> dict[str, Any]:
        """The experiment as one document that can be posted again."""
        return self._call("GET", f"/experiments/{identity}/capsule")

    def verdict(self, identity: str) -> dict[str, Any]:
        """How an experiment that was posted as a capsule compares with it."""
        return self._call("GET", f"/experiments/{identity}/verdict")

    def methods(self) -> list[dict[str, Any]]:
        """What a spec may name as a method on the server, each with its JSON schema."""
        return self._items("/methods")

    def evaluators(self) -> list[dict[str, Any]]:
        """The same of evaluators."""
        return self._items("/evaluators")

    def models(self) -> list[dict[str, Any]]:
        """The same of models."""
        return self._items("/models")

    def presets(self) -> list[dict[str, Any]]:
        """The experiments to start from."""
        return self._items("/presets")

    def preset(self, name: str) -> dict[str, Any]:
        """One of them by name, such as digits/table-2, with its spec."""
        return self._call("GET", f"/presets/{name}")

    def health(self) -> dict[str, Any]:
        """That the server is up, and the links it knows."""
        return self._call("GET", "/healthz")

    def watch(self, identity: str, every_s: float = 1.0) -> Iterator[dict[str, Any]]:
        """The experiment's view again and again, until it has ended; a server that is away for a while is waited for."""
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
    """The answer's JSON. Raises Refused where it has none."""
    try:
        document: dict[str, Any] = answer.json()
        return document
    except ValueError as error:
        document = {"title": f"{answer.url} answered {answer.status_code}", "detail": answer.text[:500]}
        raise Refused(document) from error
