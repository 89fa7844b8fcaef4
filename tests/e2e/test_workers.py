"""Several workers share a batch, and every worker reads prepared data."""

from pathlib import Path

import pytest
import torch

from api.cli.stack import Stack
from api.client import Client, Refused
from orchestrator.intake.check import check
from orchestrator.store import Store
from tests.e2e.experiments import MARKS, end, spec
from tests.trainer.core.data.trees import BUILDERS
from trainer import loop
from trainer.batches import DataBatches
from trainer.core.data import recipes
from trainer.core.data.prepare.pipeline import prepare

pytestmark = MARKS


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
    evaluated = {
        (row["evaluator"], row["dataset"]) for row in client.results(posted["id"]) if row["evaluator"] != "training"
    }
    assert evaluated == {("accuracy", "tiny-imagenet.probe-64.partial"), ("few-shot", "eurosat.cdfsl-64.partial")}
