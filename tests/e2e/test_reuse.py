"""An experiment trains only what no earlier experiment has trained."""

from typing import Any

from api.client import Client
from orchestrator.store import Store
from tests.e2e.experiments import MARKS, end, spec, undisturbed_digests

pytestmark = MARKS


def test_the_same_spec_again_finds_everything_done(first_experiment: dict[str, Any], client: Client) -> None:
    again = client.submit(spec(name="renamed"))
    assert again["plan"]["generation"] == {"requested": 6, "unique": 4, "cached": 4}
    assert again["plan"]["evaluation"] == {"requested": 18, "unique": 16, "cached": 16}
    assert end(client, again["id"])["state"] == "SUCCEEDED"
    assert client.results(again["id"]) == client.results(first_experiment["id"])


def test_a_longer_run_trains_only_what_is_new(first_experiment: dict[str, Any], client: Client, store: Store) -> None:
    raw = spec(name="longer", evaluations=[], train=spec()["train"] | {"generations": 3})
    raw["arms"] = raw["arms"][1:2]
    longer = client.submit(raw)
    assert longer["plan"]["generation"] == {"requested": 3, "unique": 3, "cached": 2}
    assert end(client, longer["id"])["state"] == "SUCCEEDED"
    made_by = {use.generation: use.made_by for use in store.uses_of(longer["id"])}
    assert made_by[1] == f"{first_experiment['id']}/llf/seed0/g1"
    assert made_by[2] == f"{longer['id']}/llf/seed0/g2"
    assert store.nodes_of(longer["id"]).keys() == undisturbed_digests(raw).keys()
    assert {key: node.weights_sha256 for key, node in store.nodes_of(longer["id"]).items()} == undisturbed_digests(raw)


def test_a_fork_trains_only_what_is_its_own(client: Client, first_experiment: dict[str, Any]) -> None:
    raw = spec(name="forked", evaluations=[])
    fork = {"arm": "normal", "generation": 1}
    raw["train"] |= {"generations": 3}
    raw["arms"] = [raw["arms"][0], {"name": "late-llf", "method": {"name": "llf"}, "fork": fork}]
    posted = client.submit(raw)
    assert posted["plan"]["generation"] == {"requested": 6, "unique": 4, "cached": 2}
    view = end(client, posted["id"])
    assert view["state"] == "SUCCEEDED", view["message"]
