"""The warnings of a plan."""

from typing import Any

import pytest

from orchestrator.store import Store
from tests.orchestrator.builders import small
from tests.orchestrator.estimate.builders import Cluster, answer, codes


@pytest.mark.parametrize(
    ("changes", "nodes", "wanted"),
    [
        ({"seeds": [0, 1]}, [{"CPU": 2.0}], []),
        ({}, [{"CPU": 2.0}], ["SINGLE_SEED"]),
        ({"seeds": [0, 1]}, None, ["CLUSTER_AWAY"]),
        ({"seeds": [0, 1]}, [{"CPU": 2.0, "GPU": 1.0}], ["UNUSED_GPU"]),
        ({"seeds": [0, 1], "resources": {"gpus": 1}}, [{"CPU": 2.0}], ["NO_GPU"]),
        ({"seeds": [0, 1], "resources": {"gpus": 2}}, [{"CPU": 2.0, "GPU": 1.0}], ["NO_CAPACITY"]),
        ({"seeds": [0, 1], "resources": {"cpus": 3}}, [{"CPU": 2.0}], ["NO_CAPACITY"]),
        ({"seeds": [0, 1], "train": {"precision": "bf16"}}, [{"CPU": 2.0}], ["PRECISION"]),
        ({"seeds": [0, 1], "train": {"precision": "tf32"}}, [{"CPU": 2.0}], ["PRECISION", "PRECISION"]),
        (
            {"seeds": [0, 1], "evaluations": [{"evaluator": {"name": "linear-probe", "targets": ["digits-edges"]}}]},
            [{"CPU": 2.0}],
            ["TEST_SELECTED"],
        ),
    ],
)
def test_warnings_of_the_spec_and_of_the_cluster(
    store: Store, changes: dict[str, Any], nodes: list[dict[str, float]] | None, wanted: list[str]
) -> None:
    assert codes(answer(store, small(**changes), Cluster(store, nodes))) == wanted


def test_a_long_run_and_a_small_disk_are_warnings(store: Store) -> None:
    slow = Cluster(store, step_s=(50_000.0,) * 9)
    found = answer(store, small(seeds=[0, 1], evaluations=[]), slow, measure=True)
    assert codes(found) == ["LONG_RUN"]
    assert found["warnings"][0]["message"] == "even with unlimited workers it takes 10.4 days"
    peak = found["storage"]["peak_bytes"]
    assert codes(answer(store, small(seeds=[0, 1]), free_bytes=peak)) == ["LONG_RUN"]
    assert codes(answer(store, small(seeds=[0, 1]), free_bytes=peak - 1)) == ["LONG_RUN", "STORAGE"]
