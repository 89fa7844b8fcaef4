"""The specs of the e2e tests, and functions that wait for an experiment or look behind the API."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from ray.job_submission import JobSubmissionClient

from api.cli.stack import Stack
from api.client import Client
from orchestrator.intake.check import check
from orchestrator.plan import plan
from tests.e2e.processes import children_named
from trainer import loop
from trainer.batches import DataBatches
from trainer.core import checkpoint

MARKS = [
    pytest.mark.e2e,
    # the clients of Ray and MLflow warn about their own internals
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]
"""The `pytestmark` of the e2e tests."""


def spec(**changes: Any) -> dict[str, Any]:
    """Returns a spec of three arms with two generations of three epochs on 40 images: two seconds of training."""
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
    """Returns a spec whose epochs are one step on 10 images and a checkpoint each, 20 ms on a slow core."""
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
    """Follows an experiment until `reached` accepts its view, and returns that view."""
    for view in client.watch(identity, every_s=0.05):
        if reached(view):
            return view
    raise AssertionError(f"the experiment ended before the awaited view: {view['state']} {view['message']}")


def end(client: Client, identity: str) -> dict[str, Any]:
    """Follows an experiment to its end, and returns its last view."""
    return list(client.watch(identity, every_s=0.2))[-1]


def gone(stack: Stack, name: str) -> None:
    """Waits until no process of the suite's Ray has `name` in its title. Only the suite's timeout limits the wait."""
    while children_named(stack, name):
        time.sleep(0.1)


def published(client: Client, identity: str) -> None:
    """Waits until the supervisor has set the final status of the MLflow runs.

    Only the suite's timeout limits the wait.
    """
    while not client.experiment(identity)["published"]:
        time.sleep(0.1)


def in_epoch(generation: int, epoch: int) -> Callable[[dict[str, Any]], bool]:
    """Returns whether the first row of a view has reached `epoch` of `generation`, as a condition for `until`."""

    def reached(view: dict[str, Any]) -> bool:
        row = view["rows"][0]
        return row["generation"] is not None and (row["generation"], row["epoch"]) >= (generation, epoch)

    return reached


def undisturbed_digests(raw: dict[str, Any]) -> dict[str, str]:
    """Returns the weights digests, by node key, of the same training in this process, without any service."""
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
    """Returns the log of the driver of an attempt."""
    headers = {"Authorization": f"Bearer {stack.token_path.read_text()}"}
    log: str = JobSubmissionClient(stack.links["ray"], headers=headers).get_job_logs(f"relearn-{identity}-a{attempt}")
    return log
