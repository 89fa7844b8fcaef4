"""Garbage collection and capsules, through the API and on the command line."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from api import body
from api.app import create_app
from api.cli.__main__ import main
from api.deps import artifacts_of
from api.settings import ApiSettings
from orchestrator.states import ExperimentState
from orchestrator.store import Store
from tests.api.builders import TestClient, database, is_problem, settings
from tests.orchestrator.builders import Jobs, do, finished, node, planned, small, submitted

pytestmark = pytest.mark.usefixtures("clean_environment")

G0 = node(planned(small()), "normal", 0).key


class NoArtifacts:
    """A tracking server that has no run, and in which every checkpoint has 7 bytes."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def checkpoints(self, _: str) -> list[str]:
        return []

    def size(self, _: str) -> int:
        return 7

    def delete(self, uri: str) -> None:
        self.deleted.append(uri)


@dataclass
class Doing(Jobs):
    """An executor that completes an experiment as soon as it is submitted; Normal's top1 is `top1`."""

    database_url: str = ""
    top1: float = 0.75

    def submit(self, experiment: str, name: str, attempt: int) -> None:
        store = Store(self.database_url)
        row = store.experiment(experiment)
        assert row is not None
        do(store, experiment, row.spec, normal=self.top1)
        store.close()
        super().submit(experiment, name, attempt)


@pytest.fixture
def store(configured: ApiSettings, client: TestClient) -> Iterator[Store]:
    with database(configured) as store:
        yield store


def test_what_is_not_needed_is_reported_and_removed_only_with_delete(client: TestClient, store: Store) -> None:
    fake = NoArtifacts()
    client.app.dependency_overrides[artifacts_of] = lambda: fake  # type: ignore[attr-defined]
    finished(store)
    young = client.post("/gc", json={}).json()
    assert (young["deleted"], young["checkpoints"], young["bytes"]) == (False, [], 0)
    assert young["kept"] == {"younger than the grace period": 1, "an evaluation of it is done or planned": 2}
    found = client.post("/gc", json={"delete": False, "grace_days": 0}).json()
    assert [(each["key"], each["uri"], each["bytes"]) for each in found["checkpoints"]] == [(G0, "mlflow://a", 7)]
    assert (fake.deleted, store.has_checkpoint(G0)) == ([], True)
    gone = client.post("/gc", json={"delete": True, "grace_days": 0}).json()
    assert gone == found | {"deleted": True}
    assert (fake.deleted, store.has_checkpoint(G0)) == (["mlflow://a"], False)


@pytest.mark.parametrize(
    "wrong", [{"grace_days": -1}, {"delete": "yes"}, {"days": 1}, {"grace_days": None}, {"experiment": 3}, []]
)
def test_an_invalid_request_is_refused(client: TestClient, wrong: Any) -> None:
    assert is_problem(client.post("/gc", json=wrong), 422, "INVALID_PARAMETER")


def test_gc_of_an_unknown_experiment_is_refused(client: TestClient) -> None:
    assert is_problem(client.post("/gc", json={"experiment": "exp_of_nobody"}), 404, "NOT_FOUND")


def test_a_tracking_server_that_does_not_answer_is_reported_and_nothing_is_forgotten(
    client: TestClient, store: Store
) -> None:
    class Away(NoArtifacts):
        def size(self, uri: str) -> int:
            raise ConnectionError("nobody answers")

    client.app.dependency_overrides[artifacts_of] = Away  # type: ignore[attr-defined]
    finished(store)
    assert is_problem(client.post("/gc", json={"delete": True, "grace_days": 0}), 503, "CLEANING_INTERRUPTED")
    assert store.has_checkpoint(G0)


def test_a_capsule_is_exported_posted_and_compared(client: TestClient, store: Store) -> None:
    first = finished(store)
    answer = client.get(f"/experiments/{first}/capsule")
    assert answer.headers["content-disposition"] == 'attachment; filename="small.capsule.json"'
    posted = client.post("/experiments", json=answer.json())
    assert posted.status_code == 202
    assert posted.json()["plan"]["generation"] == {"requested": 4, "unique": 3, "cached": 3}
    again = posted.json()["id"]
    assert client.get(f"/experiments/{again}/spec").json() == client.get(f"/experiments/{first}/spec").json()
    assert client.get(f"/experiments/{again}/verdict").json()["verdict"] == "not finished"
    store.set_published(again)
    assert store.move(again, ExperimentState.SUCCEEDED)
    verdict = client.get(f"/experiments/{again}/verdict").json()
    assert (verdict["verdict"], verdict["experiment"], verdict["capsule"]["experiment"]) == ("same", again, first)
    assert verdict["nodes"] == {"compared": 5, "anew": 0, "found": 5, "same_work": 5}


def test_what_was_posted_as_a_spec_has_no_verdict(client: TestClient, store: Store) -> None:
    assert is_problem(client.get(f"/experiments/{finished(store)}/verdict"), 404, "NO_CAPSULE")
    assert is_problem(client.get("/experiments/exp_of_nobody/verdict"), 404, "NOT_FOUND")


def test_a_capsule_that_was_changed_is_refused_and_not_stored(client: TestClient, store: Store) -> None:
    capsule = client.get(f"/experiments/{finished(store)}/capsule").json()
    answer = client.post("/experiments", json=capsule | {"versions": {}})
    assert is_problem(answer, 422, "INVALID_SPEC")
    assert answer.json()["errors"][0]["pointer"] == "/sha256"
    assert len(store.experiments()) == 1


def test_a_capsule_may_be_larger_than_a_spec(client: TestClient, store: Store) -> None:
    capsule = client.get(f"/experiments/{finished(store)}/capsule").json()
    padding = b" " * body.MAX_BYTES
    assert client.post("/experiments", content=json.dumps(capsule).encode() + padding).status_code == 202
    assert is_problem(
        client.post("/experiments", content=json.dumps(small()).encode() + padding), 413, "BODY_TOO_LARGE"
    )


@contextmanager
def listening(configured: ApiSettings, jobs: Jobs) -> Iterator[str]:
    """Yields the address of a real server on a free port."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(configured, jobs), log_level="critical"))
        up = threading.Event()
        started = server.startup

        async def startup(sockets: list[socket.socket] | None = None) -> None:
            await started(sockets)
            up.set()

        server.startup = startup  # type: ignore[method-assign]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
        thread.start()
        assert up.wait(60)
        try:
            yield f"http://127.0.0.1:{held.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Starts installations that complete at once what is posted; commands use the one that was started last."""
    opened = []

    def start(name: str, top1: float = 0.75) -> Store:
        base = settings(tmp_path / name)
        jobs = Doing(database_url=base.service.database_url, top1=top1)
        server = listening(replace(base, service=replace(base.service, max_running=1)), jobs)
        monkeypatch.setenv("RELEARN_URL", server.__enter__())
        store = Store(base.service.database_url)
        opened.append((server, store))
        return store

    yield start
    for server, store in opened:
        server.__exit__(None, None, None)
        store.close()


def test_a_capsule_is_run_again_on_another_installation(
    installation: Callable[..., Store], capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = finished(installation("first"))
    assert main(["capsule", "export", experiment, "--out", "a.json"]) == 0
    printed = capsys.readouterr().out
    assert "a.json: 5 nodes (5 succeeded)" in printed
    assert f"sha256 {json.loads(Path('a.json').read_text())['sha256']}" in printed

    assert main(["capsule", "check", "a.json"]) == 0
    printed = capsys.readouterr().out
    assert "5 of the nodes found are the very work that the capsule describes, which proves nothing" in printed

    installation("second")
    assert main(["capsule", "check", "a.json"]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "same",
        "8 scores compared: 8 equal in every bit, 0 within noise, 0 outside",
        "* 5 of 5 nodes were made anew, 0 were found",
    ]


def test_a_capsule_with_other_results_fails_the_check(
    installation: Callable[..., Store], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["capsule", "export", finished(installation("first")), "--out", "a.json"])
    store = installation("second", top1=0.5)
    assert main(["capsule", "check", "a.json"]) == 1
    printed = capsys.readouterr().out
    assert "differs at node normal/seed0/g1/accuracy/digits-noisy" in printed
    score = "top1: 0.75 [0.73, 0.77] in the capsule, 0.5 [0.48, 0.52] here (joint 95 % interval)"
    assert score in " ".join(printed.split())
    (row,) = store.experiments()
    assert main(["capsule", "check", "a.json", "--against", row.id, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "differs at node normal/seed0/g1/accuracy/digits-noisy"
    assert len(store.experiments()) == 1


def test_a_file_that_is_not_a_capsule_is_refused(
    installation: Callable[..., Store], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    experiment = finished(installation("first"))
    Path("spec.json").write_text(json.dumps(small()))
    assert main(["capsule", "check", "spec.json"]) == 2
    assert "spec.json is not a capsule: `relearn capsule export` writes one" in capsys.readouterr().err
    assert main(["capsule", "check", "missing.json"]) == 2
    assert main(["capsule", "export", experiment]) == 0
    changed = json.loads(Path(f"{experiment}.capsule.json").read_text()) | {"versions": {}}
    Path("changed.json").write_text(json.dumps(changed))
    for more in ([], ["--against", experiment]):
        assert main(["capsule", "check", "changed.json", *more]) == 2
        assert "it was changed since it was exported" in capsys.readouterr().err


def test_the_command_lists_what_would_be_removed_and_why_the_rest_is_kept(
    installation: Callable[..., Store], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = installation("first")
    finished(store)
    cancelled = submitted(store, small(seeds=[1]))
    store.cancel(cancelled)
    scratch = tmp_path / "first" / "storage" / "ray" / f"small-{cancelled}-a1"
    scratch.mkdir(parents=True)
    (scratch / "log").write_bytes(b"x" * 2048)
    assert main(["gc"]) == 0
    printed = capsys.readouterr().out
    assert f"ray/small-{cancelled}-a1" in printed
    assert "would be removed: 0 checkpoints, 2 KiB in total; `relearn gc --delete` removes it" in printed
    assert "2 checkpoints are kept: an evaluation of it is done or planned" in printed
    assert scratch.exists()
    assert main(["gc", "--delete", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == 2048
    assert not scratch.exists()
