"""Compares a plan before any measurement, after a timing run on the real cluster, and after its experiment."""

from typing import Any

import pytest

from api.client import Client
from tests.e2e.experiments import end

SPEC: dict[str, Any] = {
    "name": "planned",
    "data": {"name": "digits-noisy", "train_per_class": 4},
    "model": {"name": "resnet-digits", "width": 5},
    "train": {"generations": 2, "epochs": 6, "batch_size": 16},
    "arms": [{"name": name, "method": {"name": name}} for name in ("normal", "born-again")],
    "evaluations": [{"evaluator": {"name": "accuracy"}, "on": ["every"]}],
}
"""Two arms share generation 0. No other test trains a network of this width."""


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_quote_comes_from_a_timing_run_and_then_from_what_was_trained(client: Client) -> None:
    blind = client.plan(SPEC)
    assert blind["nodes"]["generation"] == {"requested": 4, "unique": 3, "cached": 0, "in_flight": 0, "to_do": 3}
    assert blind["quote"]["hours"]["p50"] is None
    assert blind["quote"]["wall_hours"]["lanes"]["count"] == 2

    timed = client.plan(SPEC, measure=True)
    assert [warning for warning in timed["warnings"] if warning["code"] == "NOT_TIMED"] == []
    training = [part for part in timed["quote"]["parts"] if part["stage"] == "training"]
    assert sorted((part["units"], part["samples"]) for part in training) == [(18, 20), (36, 20)]
    assert {part["basis"].split(" blocks")[0] for part in training} == {"timing run of 20"}
    assert 0 < timed["quote"]["training_hours"]["p10"] <= timed["quote"]["training_hours"]["p50"] < 0.1
    assert timed["quote"]["partial"]

    view = end(client, client.submit(SPEC)["id"])
    assert view["state"] == "SUCCEEDED", view["message"]
    again = client.plan(SPEC)
    assert again["nodes"]["generation"] == {"requested": 4, "unique": 3, "cached": 3, "in_flight": 0, "to_do": 0}
    assert again["nodes"]["evaluation"] == {"requested": 4, "unique": 3, "cached": 3, "in_flight": 0, "to_do": 0}
    assert again["quote"]["hours"] == {"p10": 0, "p50": 0, "p90": 0}
    assert again["storage"]["kept_bytes"] == 0

    other = client.plan(SPEC | {"seeds": [1]})
    assert not other["quote"]["partial"]
    bases = [part["basis"].split(" in ")[0] for part in other["quote"]["parts"]]
    assert sorted(bases) == ["10 epochs of 2 generations", "3 evaluations", "5 epochs of 1 generation"]
    assert other["quote"]["evaluation_hours"]["p50"] > 0
