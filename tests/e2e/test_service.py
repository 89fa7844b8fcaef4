"""The main job on the real Ray, MLflow and API: post, watch, compare, find done work, survive kill -9, cancel."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from ray.job_submission import JobSubmissionClient

from api.cli.stack import Stack
from api.client import Client, Refused
from orchestrator.intake.check import check
from orchestrator.plan import plan
from orchestrator.store import Store
from orchestrator.tracking.mlflow import Tracker
from tests.e2e.conftest import children_named
from tests.trainer.core.data.trees import BUILDERS
from trainer import loop
from trainer.batches import DataBatches
from trainer.core import checkpoint
from trainer.core.data import recipes
from trainer.core.data.prepare.pipeline import prepare

pytestmark = [
    pytest.mark.e2e,
    # the clients of Ray and MLflow warn about their own internals
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]


def spec(**changes: Any) -> dict[str, Any]:
    """Three arms, two generations of three epochs on 40 images: two seconds of training."""
    return {
        "name": "small",
        "data": {"name": "digits-noisy", "train_per_class": 4},
        "model": {"name": "resnet-digits", "width": 4},
        "train": {"generations": 2, "epochs": 3, "batch_size": 8, "lr": 0.05},
        "arms": [
            {"name": "normal", "method": {"name": "normal"}},
            {"name": "llf", "method": {"name": "llf"}},
            {"name": "seal", "method": {"name": "seal", "ascent_scale": 0.0001}},
        ],
        "seeds": [0],
        "evaluations": [
            {"evaluator": {"name": "accuracy"}, "on": ["every"]},
            {"evaluator": {"name": "linear-probe", "targets": ["digits-edges"], "epochs": 2}},
            {"evaluator": {"name": "few-shot", "targets": ["digits-5-9"], "episodes": 5, "epochs": 2, "shots": [1]}},
            {"evaluator": {"name": "hessian-spectrum", "examples": 32, "k": 2}},
            {"evaluator": {"name": "prediction-depth"}},
        ],
    } | changes


def long(generations: int, epochs: int, seed: int) -> dict[str, Any]:
    """An epoch is one step on 10 images and a checkpoint, 20 ms on a slow core."""
    return spec(
        name="long",
        data={"name": "digits-noisy", "train_per_class": 1},
        train={"generations": generations, "epochs": epochs, "lr": 0.05, "evaluate_every": epochs},
        arms=[{"name": "seal", "method": {"name": "seal", "ascent_scale": 1.0}}],
        seeds=[seed],
        evaluations=[],
        resources={"checkpoint_every_s": 0},
    )


def until(client: Client, identity: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    for view in client.watch(identity, every_s=0.05):
        if reached(view):
            return view
    raise AssertionError(f"ended without reaching the wanted point: {view['state']} {view['message']}")


def end(client: Client, identity: str) -> dict[str, Any]:
    return list(client.watch(identity, every_s=0.2))[-1]


def gone(stack: Stack, name: str) -> None:
    """Waits until no process below our Ray has `name` in its title; the suite's timeout is the limit."""
    while children_named(stack, name):
        time.sleep(0.1)


def published(client: Client, identity: str) -> None:
    """Waits until the supervisor has set the final status of the MLflow runs; the suite's timeout is the limit."""
    while not client.experiment(identity)["published"]:
        time.sleep(0.1)


def in_epoch(generation: int, epoch: int) -> Callable[[dict[str, Any]], bool]:
    def reached(view: dict[str, Any]) -> bool:
        row = view["rows"][0]
        return row["generation"] is not None and (row["generation"], row["epoch"]) >= (generation, epoch)

    return reached


def undisturbed_digests(raw: dict[str, Any]) -> dict[str, str]:
    """Returns node key -> weights digest of the same training in this process, without any service."""
    resolved = check(raw)
    one = resolved.train_spec(resolved.arms[0], resolved.seeds[0])
    dataset = one.data.load()
    state = loop.start(one, len(dataset.classes), torch.device("cpu"))
    keys = [node.key for node in plan(resolved).nodes.values() if node.kind == "generation"]
    found = {}
    for _ in loop.train(one, state, DataBatches(dataset, one.train.batch_size)):
        if state.epoch == one.train.epochs:
            found[keys[state.generation]] = checkpoint.weights_digest(state.model.state_dict())
    return found


def job_log(stack: Stack, identity: str, attempt: int) -> str:
    headers = {"Authorization": f"Bearer {stack.token_path.read_text()}"}
    log: str = JobSubmissionClient(stack.links["ray"], headers=headers).get_job_logs(f"relearn-{identity}-a{attempt}")
    return log


@pytest.fixture(scope="module")
def first(client: Client) -> dict[str, Any]:
    """The small experiment, posted and followed to its end."""
    posted = client.submit(spec())
    return posted | {"view": end(client, posted["id"])}


def test_the_experiment_succeeds_and_shares_generation_0(first: dict[str, Any]) -> None:
    view = first["view"]
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


def test_results_are_tidy_rows_of_every_evaluator(first: dict[str, Any], client: Client) -> None:
    rows = client.results(first["id"])
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


def test_mlflow_shows_a_run_per_arm_with_the_whole_curve(first: dict[str, Any], client: Client, stack: Stack) -> None:
    published(client, first["id"])
    mlflow = MlflowClient(stack.links["mlflow"])
    experiment = mlflow.get_experiment_by_name(f"small ({first['id']})")
    runs = {run.info.run_name: run for run in mlflow.search_runs([experiment.experiment_id])}
    parent = runs.pop("report")
    assert parent.info.status == "FINISHED"
    kept = {file.path for folder in ("", "figures") for file in mlflow.list_artifacts(parent.info.run_id, folder)}
    drawn = {f"figures/{name}.svg" for name in ("accuracy", "layers", "spectrum", "shots")}
    assert kept == {"spec.json", "report.html", "report.md", "report.json", "figures"} | drawn
    assert set(runs) == {"normal-seed0", "llf-seed0", "seal-seed0"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    final = {(row["arm"], row["metric"]): row["value"] for row in client.results(first["id"]) if row["generation"] == 1}
    for name, run in runs.items():
        arm = name.removesuffix("-seed0")
        assert run.info.status == "FINISHED"
        steps = [point.step for point in mlflow.get_metric_history(run.info.run_id, "train/loss")]
        assert sorted(steps) == [0, 1, 2, 3, 4, 5]
        assert run.data.tags["relearn.g00.trained_in"] == f"{first['id']}/normal/seed0/g0"
        assert run.data.tags["relearn.g01.trained_in"] == f"{first['id']}/{arm}/seed0/g1"
        assert run.data.metrics["accuracy/digits-noisy/top1"] == final[arm, "top1"]
        assert run.data.metrics["few-shot/digits-5-9/1shot/acc"] == final[arm, "1shot/acc"]
    seal = runs["seal-seed0"].data
    assert seal.metrics["forgetting/ascent_dose"] == pytest.approx(0.05 * 5 * 0.0001, rel=1e-9)
    assert "no forgetting happened" in seal.tags["relearn.warning"]
    assert seal.params["method.ascent_scale"] == "0.0001"


def test_every_generation_is_committed_with_its_hash(
    first: dict[str, Any], store: Store, stack: Stack, tmp_path: Path
) -> None:
    nodes = [node for node in store.nodes_of(first["id"]).values() if node.kind == "generation"]
    assert len(nodes) == 4
    for node in nodes:
        assert node.checkpoint_uri is not None
        directory = Tracker(stack.links["mlflow"]).fetch_checkpoint(node.checkpoint_uri, tmp_path / node.key)
        manifest = checkpoint.read_manifest(directory)
        assert (manifest.key, manifest.weights_sha256) == (node.key, node.weights_sha256)
    gone(stack, f"orchestrator.driver {first['id']}")  # it cleans up after it has recorded the outcome
    working = stack.home / "storage" / "checkpoints"
    assert not any((working / node.key).exists() for node in nodes)  # what is committed leaves no copy behind


def test_the_same_spec_again_finds_everything_done(first: dict[str, Any], client: Client) -> None:
    again = client.submit(spec(name="renamed"))
    assert again["plan"]["generation"] == {"requested": 6, "unique": 4, "cached": 4}
    assert again["plan"]["evaluation"] == {"requested": 18, "unique": 16, "cached": 16}
    assert end(client, again["id"])["state"] == "SUCCEEDED"
    assert client.results(again["id"]) == client.results(first["id"])


def test_a_longer_run_trains_only_what_is_new(first: dict[str, Any], client: Client, store: Store) -> None:
    raw = spec(name="longer", evaluations=[], train=spec()["train"] | {"generations": 3})
    raw["arms"] = raw["arms"][1:2]
    longer = client.submit(raw)
    assert longer["plan"]["generation"] == {"requested": 3, "unique": 3, "cached": 2}
    assert end(client, longer["id"])["state"] == "SUCCEEDED"
    made_by = {use.generation: use.made_by for use in store.uses_of(longer["id"])}
    assert made_by[1] == f"{first['id']}/llf/seed0/g1"
    assert made_by[2] == f"{longer['id']}/llf/seed0/g2"
    assert store.nodes_of(longer["id"]).keys() == undisturbed_digests(raw).keys()
    assert {key: node.weights_sha256 for key, node in store.nodes_of(longer["id"]).items()} == undisturbed_digests(raw)


def test_kill_9_of_a_training_worker_costs_no_bit(client: Client, store: Store, stack: Stack) -> None:
    raw = long(generations=2, epochs=240, seed=0)
    posted = client.submit(raw)
    until(client, posted["id"], in_epoch(1, 2))  # seconds of the generation are left when the signal arrives
    (worker,) = children_named(stack, "ray::RayTrainWorker")
    os.kill(worker, signal.SIGKILL)
    undisturbed = undisturbed_digests(raw)
    view = end(client, posted["id"])
    assert (view["state"], view["attempt"]) == ("SUCCEEDED", 1), view["message"]
    log = job_log(stack, posted["id"], 1)
    assert "/g1 resumed after epoch" in log
    assert "(bitwise)" in log
    assert {key: node.weights_sha256 for key, node in store.nodes_of(posted["id"]).items()} == undisturbed


def test_kill_9_of_the_driver_starts_another_attempt(client: Client, store: Store, stack: Stack) -> None:
    raw = long(generations=2, epochs=240, seed=1)
    posted = client.submit(raw)
    until(client, posted["id"], in_epoch(1, 2))  # as above; Ray ends the worker a fraction of a second after its driver
    (driver,) = children_named(stack, f"orchestrator.driver {posted['id']}")
    os.kill(driver, signal.SIGKILL)
    undisturbed = undisturbed_digests(raw)
    view = end(client, posted["id"])
    assert (view["state"], view["attempt"]) == ("SUCCEEDED", 2), view["message"]
    assert "/g1 resumed after epoch" in job_log(stack, posted["id"], 2)
    assert {key: node.weights_sha256 for key, node in store.nodes_of(posted["id"]).items()} == undisturbed


def test_two_workers_share_every_batch_and_give_the_losses_of_one(client: Client, store: Store) -> None:
    train = {"generations": 2, "epochs": 3, "batch_size": 13, "lr": 0.05, "precision": "fp64"}
    raw = spec(name="workers", train=train, seeds=[4], evaluations=[], resources={"workers": 2})
    raw["arms"] = [{"name": "seal", "method": {"name": "seal", "ascent_scale": 0.5}}]
    posted = client.submit(raw)
    view = end(client, posted["id"])
    assert view["state"] == "SUCCEEDED", view["message"]
    rows = sorted(store.epochs_of(posted["id"], "seal", 4), key=lambda row: (row.generation, row.epoch))
    resolved = check(raw)
    one = resolved.train_spec(resolved.arms[0], 4)
    dataset = one.data.load()
    state = loop.start(one, len(dataset.classes), torch.device("cpu"))
    alone = [row.metrics["train/loss"] for row in loop.train(one, state, DataBatches(dataset, 13))]
    assert [row.metrics["train/loss"] for row in rows] == pytest.approx(alone, rel=1e-10)


def test_a_fork_trains_only_what_is_its_own(client: Client, first: dict[str, Any]) -> None:
    raw = spec(name="forked", evaluations=[])
    fork = {"arm": "normal", "generation": 1}
    raw["train"] |= {"generations": 3}
    raw["arms"] = [raw["arms"][0], {"name": "late-llf", "method": {"name": "llf"}, "fork": fork}]
    posted = client.submit(raw)
    assert posted["plan"]["generation"] == {"requested": 6, "unique": 4, "cached": 2}
    view = end(client, posted["id"])
    assert view["state"] == "SUCCEEDED", view["message"]


def test_prepared_data_is_refused_until_it_is_there_and_then_used_by_every_worker(
    client: Client, stack: Stack, tmp_path: Path
) -> None:
    few_shot = {
        "name": "few-shot",
        "targets": ["eurosat@cdfsl-64"],
        "episodes": 5,
        "epochs": 2,
        "shots": [1],
        "queries": 2,
    }
    raw = spec(
        name="prepared",
        data={"name": "tiny-imagenet", "recipe": "probe-64"},
        train={"generations": 1, "epochs": 1, "batch_size": 4},
        arms=[{"name": "normal", "method": {"name": "normal"}}],
        evaluations=[{"evaluator": {"name": "accuracy"}}, {"evaluator": few_shot}],
    )
    with pytest.raises(Refused, match="relearn data prepare eurosat --recipe cdfsl-64"):
        client.submit(raw)
    for name, recipe in (("tiny-imagenet", "probe-64"), ("eurosat", "cdfsl-64")):
        tree = BUILDERS[name](tmp_path / name)
        prepare(name, tree.root, stack.home / "data", recipes.named(recipe, name), allow_partial=True)
    posted = client.submit(raw)
    view = end(client, posted["id"])
    assert view["state"] == "SUCCEEDED", view["message"]
    judged = {
        (row["evaluator"], row["dataset"]) for row in client.results(posted["id"]) if row["evaluator"] != "training"
    }
    assert judged == {("accuracy", "tiny-imagenet.probe-64.partial"), ("few-shot", "eurosat.cdfsl-64.partial")}


def test_cancel_keeps_what_is_committed(client: Client, store: Store, stack: Stack) -> None:
    raw = long(generations=200, epochs=60, seed=2)
    posted = client.submit(raw)

    def first_committed(view: dict[str, Any]) -> bool:
        return bool(view["rows"][0]["generations_committed"])

    until(client, posted["id"], first_committed)
    client.cancel(posted["id"])
    assert end(client, posted["id"])["state"] == "CANCELLED"
    gone(stack, "ray::RayTrainWorker")
    with pytest.raises(Refused, match="the experiment is already CANCELLED"):
        client.cancel(posted["id"])
    published(client, posted["id"])
    (run,) = store.runs_of(posted["id"])
    assert MlflowClient(stack.links["mlflow"]).get_run(run.run_id).info.status == "KILLED"
    committed = [node for node in store.nodes_of(posted["id"]).values() if node.state == "SUCCEEDED"]
    assert 1 <= len(committed) < 200
    one_more = len(committed) + 1
    again = client.submit(long(generations=one_more, epochs=60, seed=2))
    assert again["plan"]["generation"] == {"requested": one_more, "unique": one_more, "cached": one_more - 1}
    assert end(client, again["id"])["state"] == "SUCCEEDED"


def test_a_run_that_diverges_fails_with_its_reason_and_skips_what_needs_it(client: Client, store: Store) -> None:
    raw = spec(name="diverging", evaluations=[{"evaluator": {"name": "accuracy"}}])
    raw["arms"] = raw["arms"][:2]
    raw["train"] |= {"lr": 50.0, "weight_decay": 1.0, "epochs": 12, "schedule": {"warmup_epochs": 12}}
    posted = client.submit(raw)
    view = end(client, posted["id"])
    assert (view["state"], view["reason"], view["attempt"]) == ("FAILED", "DIVERGED", 1)
    states = {(use.kind, use.generation): use.state for use in store.uses_of(posted["id"])}
    assert states == {("generation", 0): "FAILED", ("generation", 1): "SKIPPED", ("evaluation", 1): "SKIPPED"}


def test_a_wrong_spec_is_refused_by_the_server_with_every_problem(client: Client) -> None:
    raw = spec(seeds=[])
    raw["arms"][2]["method"]["ascent_scal"] = 1
    with pytest.raises(Refused) as refused:
        client.submit(raw)
    errors = {(error["pointer"], error["code"]) for error in refused.value.document["errors"]}
    assert errors == {("/seeds", "OUT_OF_RANGE"), ("/arms/2/method/ascent_scal", "UNKNOWN_FIELD")}
    assert "did you mean 'ascent_scale'?" in str(refused.value)


def test_the_command_line_uses_only_the_api(first: dict[str, Any], stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec()))

    def relearn(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "api.cli", *arguments]
        environment = os.environ | {"RELEARN_URL": stack.links["api"]}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    submitted = relearn("submit", str(path))
    assert "generations: 6 requested, 4 unique, 4 done before" in submitted.stdout
    identity = submitted.stdout.split()[1]
    watched = relearn("watch", identity)
    assert watched.returncode == 0
    assert "12/12 epochs (12 done before), 16/16 evaluations" in watched.stdout
    assert "few-shot digits-5-9 1shot/acc %" in relearn("results", identity).stdout
    assert len(json.loads(relearn("results", identity, "--json").stdout)) > 30
    assert identity in relearn("list").stdout
    assert relearn("cancel", identity).returncode == 2
