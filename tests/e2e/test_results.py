"""The results of an experiment in the API and in MLflow, and its committed checkpoints."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from api.cli.stack import Stack
from api.client import Client
from orchestrator.store import Store
from orchestrator.tracking.mlflow import Tracker
from tests.e2e.experiments import MARKS, gone, published
from trainer.core import checkpoint

pytestmark = MARKS


def test_the_experiment_succeeds_and_shares_generation_0(first_experiment: dict[str, Any]) -> None:
    view = first_experiment["view"]
    assert view["state"] == "SUCCEEDED", view["message"]
    assert view["plan"]["generation"] == {"requested": 6, "unique": 4, "cached": 0}
    assert view["plan"]["evaluation"] == {"requested": 18, "unique": 16, "cached": 0}
    assert [(row["arm"], row["generation"], row["epoch"]) for row in view["rows"]] == [
        ("normal", 1, 2),
        ("llf", 1, 2),
        ("seal", 1, 2),
    ]
    assert view["progress"]["epochs_done"] == view["progress"]["epochs_total"] == 12
    (warning,) = view["warnings"]
    assert (warning["arm"], warning["generation"]) == ("seal", 1)
    assert warning["message"].startswith("no forgetting happened in generation 1")


def test_results_are_tidy_rows_of_every_evaluator(first_experiment: dict[str, Any], client: Client) -> None:
    rows = client.results(first_experiment["id"])
    assert {row["evaluator"] for row in rows} == {
        "training",
        "accuracy",
        "linear-probe",
        "few-shot",
        "hessian-spectrum",
        "prediction-depth",
    }
    (few,) = [row for row in rows if row["arm"] == "seal" and row["evaluator"] == "few-shot"]
    assert (few["dataset"], few["metric"], few["n"], few["generation"]) == ("digits-5-9", "1shot/acc", 5, 1)
    assert few["low"] < few["value"] < few["high"]
    assert (few["details"]["version"], few["details"]["settings"]["episodes"]) == (2, 5)
    assert few["details"]["target"].startswith("digits-5-9#")
    assert few["details"]["notes"] == ["reduced run: 5 of the protocol's 600 episodes"]
    episodes = {row["details"]["digests"]["1shot"] for row in rows if row["evaluator"] == "few-shot"}
    assert len(episodes) == 1, "every arm is scored on the same episodes"
    last, best = ([row for row in rows if row["metric"] == f"test_accuracy/{name}"] for name in ("last", "best"))
    top1 = {(row["arm"], row["generation"]): row["value"] for row in rows if row["metric"] == "top1"}
    assert {(row["arm"], row["generation"]): row["value"] for row in last} == pytest.approx(top1)
    assert all(b["value"] >= row["value"] for row, b in zip(last, best, strict=True))
    shared = {(row["arm"], row["value"]) for row in rows if (row["metric"], row["generation"]) == ("top1", 0)}
    assert len(shared) == 3
    assert len({value for _, value in shared}) == 1


def test_mlflow_shows_a_run_per_arm_with_the_whole_curve(
    first_experiment: dict[str, Any], client: Client, stack: Stack
) -> None:
    published(client, first_experiment["id"])
    mlflow = MlflowClient(stack.links["mlflow"])
    experiment = mlflow.get_experiment_by_name(f"small ({first_experiment['id']})")
    runs = {run.info.run_name: run for run in mlflow.search_runs([experiment.experiment_id])}
    parent = runs.pop("report")
    assert parent.info.status == "FINISHED"
    kept = {file.path for folder in ("", "figures") for file in mlflow.list_artifacts(parent.info.run_id, folder)}
    drawn = {f"figures/{name}.svg" for name in ("accuracy", "layers", "spectrum", "shots")}
    assert kept == {"spec.json", "report.html", "report.md", "report.json", "figures"} | drawn
    assert set(runs) == {"normal-seed0", "llf-seed0", "seal-seed0"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    final = {
        (row["arm"], row["metric"]): row["value"]
        for row in client.results(first_experiment["id"])
        if row["generation"] == 1
    }
    for name, run in runs.items():
        arm = name.removesuffix("-seed0")
        assert run.info.status == "FINISHED"
        steps = [point.step for point in mlflow.get_metric_history(run.info.run_id, "train/loss")]
        assert sorted(steps) == [0, 1, 2, 3, 4, 5]
        assert run.data.tags["relearn.g00.trained_in"] == f"{first_experiment['id']}/normal/seed0/g0"
        assert run.data.tags["relearn.g01.trained_in"] == f"{first_experiment['id']}/{arm}/seed0/g1"
        assert run.data.metrics["accuracy/digits-noisy/top1"] == final[arm, "top1"]
        assert run.data.metrics["few-shot/digits-5-9/1shot/acc"] == final[arm, "1shot/acc"]
    seal = runs["seal-seed0"].data
    assert seal.metrics["forgetting/ascent_dose"] == pytest.approx(0.05 * 5 * 0.0001, rel=1e-9)
    assert "no forgetting happened" in seal.tags["relearn.warning"]
    assert seal.params["method.ascent_scale"] == "0.0001"


def test_every_generation_is_committed_with_its_hash(
    first_experiment: dict[str, Any], store: Store, stack: Stack, tmp_path: Path
) -> None:
    nodes = [node for node in store.nodes_of(first_experiment["id"]).values() if node.kind == "generation"]
    assert len(nodes) == 4
    for node in nodes:
        assert node.checkpoint_uri is not None
        directory = Tracker(stack.links["mlflow"]).fetch_checkpoint(node.checkpoint_uri, tmp_path / node.key)
        manifest = checkpoint.read_manifest(directory)
        assert (manifest.key, manifest.weights_sha256) == (node.key, node.weights_sha256)
    gone(
        stack, f"orchestrator.driver {first_experiment['id']}"
    )  # the driver cleans up after it has recorded the outcome
    working = stack.home / "storage" / "checkpoints"
    assert not any((working / node.key).exists() for node in nodes)  # no working copy of a committed checkpoint is left
