"""Experiments share work with others in flight and with earlier ones, and evaluate imported weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from api.cli.stack import Stack
from api.client import Client
from orchestrator.store import Store
from tests.e2e.experiments import MARKS, end, in_epoch, long, spec, until
from trainer.core import checkpoint, models

pytestmark = MARKS

ACCURACY = {"evaluator": {"name": "accuracy"}}


@pytest.fixture(scope="module")
def first(client: Client) -> dict[str, Any]:
    """The last view of an experiment with three arms of two generations each, evaluated after the last one."""
    posted = client.submit(spec(name="earlier", seeds=[3], evaluations=[ACCURACY]))
    view = end(client, posted["id"])
    assert view["state"] == "SUCCEEDED", view["message"]
    return view


def makers(store: Store, experiment: str) -> dict[int, str]:
    """Returns the id of the experiment that trained each generation."""
    uses = store.uses_of(experiment)
    return {use.generation: str(use.made_by).split("/")[0] for use in uses if use.kind == "generation"}


def test_an_experiment_waits_for_what_another_is_training_and_trains_the_rest(client: Client, store: Store) -> None:
    """A second experiment with five generations of SEAL is posted while the first trains three of them."""
    one = client.submit(long(3, 60, seed=71))["id"]
    until(client, one, in_epoch(0, 1))
    other = client.submit(long(5, 60, seed=71))["id"]
    seen = until(client, other, lambda view: view["state"] == "RUNNING")
    assert seen["plan"]["generation"] == {"requested": 5, "unique": 5, "cached": 0}
    for identity in (other, one):
        view = end(client, identity)
        assert view["state"] == "SUCCEEDED", view["message"]
    assert makers(store, one) == dict.fromkeys(range(3), one)
    assert makers(store, other) == dict.fromkeys(range(3), one) | dict.fromkeys((3, 4), other)
    rows = client.results(other)
    assert {row["made_by"].split("/")[0] for row in rows if row["generation"] < 3} == {one}


@pytest.mark.long
def test_when_the_other_one_is_cancelled_the_waiting_one_trains_it(client: Client, store: Store) -> None:
    one = client.submit(long(2, 100_000, seed=72))["id"]
    until(client, one, in_epoch(0, 1))
    other = client.submit(long(2, 100_000, seed=72))["id"]
    until(client, other, lambda view: view["state"] == "RUNNING")
    client.cancel(one)
    assert end(client, one)["state"] == "CANCELLED"
    owner = {row.owner for row in store.nodes_of(other).values()}
    while owner != {other}:  # the suite's timeout is the limit
        owner = {row.owner for row in store.nodes_of(other).values()}
    client.cancel(other)
    assert end(client, other)["state"] == "CANCELLED"


def test_a_fork_continues_an_earlier_experiment(client: Client, store: Store, first: dict[str, Any]) -> None:
    raw = spec(name="later", seeds=[3], evaluations=[ACCURACY])
    raw["train"] |= {"generations": 3, "epochs": 5}  # of three epochs before
    fork = {"experiment": first["id"], "arm": "seal", "generation": 1}
    raw["arms"] = [{"name": "late-llf", "method": {"name": "llf"}, "fork": fork}]
    posted = client.submit(raw)
    assert posted["plan"]["generation"] == {"requested": 2, "unique": 2, "cached": 1}
    assert end(client, posted["id"])["state"] == "SUCCEEDED"
    assert makers(store, posted["id"]) == {1: first["id"], 2: posted["id"]}
    (key,) = (use.key for use in store.uses_of(posted["id"]) if (use.kind, use.generation) == ("generation", 2))
    rows = [row for row in store.epochs_of(posted["id"], "late-llf", 3) if row.key == key]
    assert [(row.generation, row.epoch) for row in rows] == [(2, epoch) for epoch in range(5)]


@pytest.mark.long
def test_the_same_work_twice_at_once_on_a_full_cluster_is_done_once(client: Client, store: Store) -> None:
    """The first experiment uses both CPUs. The second uses none while it waits."""
    raw = spec(name="twice", arms=spec()["arms"][:1], seeds=[91, 92, 93], evaluations=[ACCURACY])
    both = [client.submit(raw)["id"] for _ in range(2)]
    for identity in both:
        assert end(client, identity)["state"] == "SUCCEEDED"
    one, other = (store.nodes_of(identity) for identity in both)
    assert {key: row.made_by for key, row in one.items()} == {key: row.made_by for key, row in other.items()}


def test_checkpoints_are_evaluated_without_training(
    client: Client, store: Store, stack: Stack, first: dict[str, Any], tmp_path: Path
) -> None:
    """A committed generation, its artifact in MLflow and its weights in a file have the same accuracy."""
    uses = store.uses_of(first["id"])
    (key,) = {use.key for use in uses if (use.arm, use.generation, use.kind) == ("seal", 1, "generation")}
    uri = store.nodes_of(first["id"])[key].checkpoint_uri
    from orchestrator.tracking.mlflow import Tracker

    assert uri is not None
    folder = Tracker(stack.links["mlflow"]).download(uri, tmp_path / "fetched")
    network = models.build(models.DigitsResNet(width=4), classes=10, seed=0)
    checkpoint.load_weights(folder, network)
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, tmp_path / "net.pt")
    arms = [
        {"name": "committed", "checkpoint": {"experiment": first["id"], "arm": "seal"}},
        {"name": "artifact", "checkpoint": {"uri": uri}},
        {"name": "file", "checkpoint": {"uri": str(tmp_path / "net.pt"), "strip_prefix": "module."}},
    ]
    posted = client.submit(spec(name="evaluated", seeds=[3], arms=arms, evaluations=[ACCURACY]))
    assert posted["plan"]["generation"]["cached"] == posted["plan"]["evaluation"]["cached"] == 1
    view = end(client, posted["id"])
    assert view["state"] == "SUCCEEDED", view["message"]
    top1 = {row["arm"]: row["value"] for row in client.results(posted["id"]) if row["metric"] == "top1"}
    (before,) = (row["value"] for row in client.results(first["id"]) if (row["arm"], row["metric"]) == ("seal", "top1"))
    assert top1 == dict.fromkeys(("committed", "artifact", "file"), before)


def test_an_artifact_that_is_not_there_fails_with_its_name(client: Client) -> None:
    arms = [{"name": "gone", "checkpoint": {"uri": "mlflow-artifacts:/nowhere/net.pt"}}]
    view = end(client, client.submit(spec(name="gone", arms=arms, evaluations=[ACCURACY]))["id"])
    assert (view["state"], view["reason"]) == ("FAILED", "USER_ERROR")
