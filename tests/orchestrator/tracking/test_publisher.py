import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.intake.check import check
from orchestrator.spec import ExperimentSpec
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from orchestrator.tracking.publisher import Publisher
from tests.orchestrator.builders import Clock, claimed, node, planned, small, submitted
from tests.orchestrator.report.builders import scored, trained

PLAN = planned(small())


@dataclass
class Recorder:
    """A tracking server that records its calls."""

    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[Any, ...]] = field(default_factory=list)

    def experiment(self, name: str, tags: dict[str, str]) -> str:
        return name

    def start_run(self, experiment_id: str, name: str, tags: dict[str, str], params: dict[str, object]) -> str:
        return name

    def text(self, run_id: str, name: str, content: str) -> None:
        self.texts[run_id, name] = content

    def tag(self, run_id: str, tags: dict[str, str]) -> None:
        self.tags.setdefault(run_id, {}).update(tags)

    def log(self, run_id: str, measurements: list[tuple[Any, ...]]) -> None:
        self.metrics += [(run_id, *each) for each in measurements]

    def finish(self, run_id: str, status: str) -> None:
        self.ended[run_id] = status


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=Clock())
    yield store
    store.close()


def test_a_run_ends_with_the_details_of_its_scores(store: Store) -> None:
    experiment, recorder = submitted(store), Recorder()
    score, about = (
        {"top1": {"value": 0.5, "n": 896, "low": None, "high": None}},
        {"evaluator": "accuracy", "version": 1},
    )
    claim = claimed(store, node(PLAN, "seal", 1, "evaluation").key, experiment)
    store.finish_evaluation(claim, "by", "accuracy", "digits-noisy", score, {}, about)
    old = claimed(store, node(PLAN, "normal", 1, "evaluation").key, experiment)
    store.finish_evaluation(old, "by", "accuracy", "digits-noisy", score, {})
    store.move(experiment, ExperimentState.SUCCEEDED)
    row = store.experiment(experiment)
    assert row is not None
    tracker: Any = recorder
    Publisher(store, tracker, row, check(small())).conclude()
    assert recorder.ended == {"normal-seed0": "FINISHED", "seal-seed0": "FINISHED", "report": "FINISHED"}
    found = {run: content for (run, name), content in recorder.texts.items() if name == "evaluations.json"}
    assert {run: json.loads(content) for run, content in found.items()} == {
        "seal-seed0": [{"generation": 1, "evaluator": "accuracy", "version": 1}]
    }
    assert [metric[:3] for metric in recorder.metrics] == [
        ("normal-seed0", "accuracy/digits-noisy/top1", 0.5),
        ("seal-seed0", "accuracy/digits-noisy/top1", 0.5),
    ]


def test_the_report_is_stored_once_in_the_parent_run(store: Store, tmp_path: Path) -> None:
    """With MLflow itself, concluding again finds the same runs and overwrites the same files."""
    from mlflow import MlflowClient

    from orchestrator.tracking.mlflow import Tracker

    experiment = scored(store, {("normal", 0): 0.5, ("seal", 0): 0.75})
    trained(store, experiment, node(planned(small()), "normal", 0), [0.25])
    store.move(experiment, ExperimentState.FAILED, reason=Reason.DIVERGED, message="the rest diverged")
    row = store.experiment(experiment)
    assert row is not None
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as here:
        here.chdir(tmp_path)  # the default location of artifacts
        for _ in range(2):
            Publisher(store, Tracker(uri), row, ExperimentSpec.model_validate_json(json.dumps(row.spec))).conclude()
        client = MlflowClient(uri)
        where = client.get_experiment_by_name(f"small ({experiment})").experiment_id
        runs = {run.info.run_name: run for run in client.search_runs([where])}
        assert len(client.search_runs([where])) == 3
        parent = runs.pop("report")
        assert set(runs) == {"normal-seed0", "seal-seed0"}
        assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
        assert (parent.info.status, parent.data.tags["relearn.state"]) == ("FAILED", "FAILED")
        assert "relearn.report_error" not in parent.data.tags
        kept = {file.path for folder in ("", "figures") for file in client.list_artifacts(parent.info.run_id, folder)}
        assert kept == {"spec.json", "report.html", "report.md", "report.json", "figures", "figures/accuracy.svg"}
        page = Path(client.download_artifacts(parent.info.run_id, "report.html", str(tmp_path))).read_text()
        assert "FAILED (DIVERGED): the rest diverged" in page


def test_a_report_that_cannot_be_built_does_not_prevent_the_publication(store: Store) -> None:
    """The spec has a table that no version of relearn accepts."""
    document = small(seeds=[0], tables=[{"name": "of other code"}])
    experiment, _ = store.submit("small", document, PLAN)
    store.move(experiment, ExperimentState.SUCCEEDED)
    row, recorder = store.experiment(experiment), Recorder()
    assert row is not None
    tracker: Any = recorder
    Publisher(store, tracker, row, check(small())).conclude()
    assert recorder.ended == {"normal-seed0": "FINISHED", "seal-seed0": "FINISHED", "report": "FINISHED"}
    assert recorder.tags["report"]["relearn.report_error"].startswith("ValidationError: ")
    assert [name for run, name in recorder.texts if run == "report"] == ["spec.json"]
    assert store.unpublished() == []
