import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.checks import check
from orchestrator.publish import Publisher
from orchestrator.store import Store
from tests.orchestrator.small import Clock, claimed, node, planned, small, submitted

PLAN = planned(small())


@dataclass
class Recorder:
    """A tracking server that keeps what it is told."""

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
        self.tags[run_id] = tags

    def log(self, run_id: str, measurements: list[tuple[Any, ...]]) -> None:
        self.metrics += [(run_id, *each) for each in measurements]

    def finish(self, run_id: str, status: str) -> None:
        self.ended[run_id] = status


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=Clock())
    yield store
    store.close()


def test_a_run_ends_with_what_its_scores_mean(store: Store) -> None:
    experiment, recorder = submitted(store), Recorder()
    score, about = {"top1": {"value": 0.5, "n": 896, "low": None, "high": None}}, {"evaluator": "accuracy", "version": 1}
    claim = claimed(store, node(PLAN, "seal", 1, "evaluation").key, experiment)
    store.finish_evaluation(claim, "by", "accuracy", "digits-noisy", score, {}, about)
    old = claimed(store, node(PLAN, "normal", 1, "evaluation").key, experiment)
    store.finish_evaluation(old, "by", "accuracy", "digits-noisy", score, {})
    store.move(experiment, "SUCCEEDED")
    row = store.experiment(experiment)
    assert row is not None
    tracker: Any = recorder
    Publisher(store, tracker, row, check(small())).conclude()
    assert recorder.ended == {"normal-seed0": "FINISHED", "seal-seed0": "FINISHED"}
    found = {run: content for (run, name), content in recorder.texts.items() if name == "evaluations.json"}
    assert {run: json.loads(content) for run, content in found.items()} == {
        "seal-seed0": [{"generation": 1, "evaluator": "accuracy", "version": 1}]
    }
    assert [metric[:3] for metric in recorder.metrics] == [
        ("normal-seed0", "accuracy/digits-noisy/top1", 0.5),
        ("seal-seed0", "accuracy/digits-noisy/top1", 0.5),
    ]
