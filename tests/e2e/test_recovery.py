"""An experiment survives kill -9 of a worker or its driver, and ends well when it is cancelled or diverges."""

import os
import signal
from typing import Any

import pytest
from mlflow import MlflowClient

from api.cli.stack import Stack
from api.client import Client, Refused
from orchestrator.store import Store
from tests.e2e.experiments import MARKS, end, gone, in_epoch, job_log, long, published, spec, undisturbed_digests, until
from tests.e2e.processes import children_named

pytestmark = MARKS


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
