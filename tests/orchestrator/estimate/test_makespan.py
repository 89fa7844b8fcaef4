import random

import pytest

from orchestrator.estimate.makespan import critical_path, makespan
from orchestrator.plan import segments
from orchestrator.plan.capacity import worker_capacity
from orchestrator.spec import Resources
from tests.orchestrator.builders import planned, small

ARMS = [{"name": name, "method": {"name": name}} for name in ("normal", "llf", "seal")]
PLAN = planned(
    small(
        arms=ARMS,
        train={"generations": 4, "epochs": 3},
        evaluations=[{"evaluator": {"name": "accuracy"}, "on": ["every"]}],
    )
)
"""Generation 0, three chains of three generations after it, and ten evaluations."""
SECONDS = {key: 100.0 if node.kind == "generation" else 7.0 for key, node in PLAN.nodes.items()}


def test_the_critical_path_is_the_longest_chain_and_the_longest_evaluation() -> None:
    assert critical_path(PLAN, PLAN.nodes, SECONDS) == 407.0
    longer = SECONDS | {next(key for key, node in PLAN.nodes.items() if node.title == "seal/seed0/g2"): 150.0}
    assert critical_path(PLAN, PLAN.nodes, longer) == 457.0


@pytest.mark.parametrize(
    ("training_slots", "evaluation_slots", "wanted"),
    [
        (1, 1, 1000 + 70),  # ten generations and ten evaluations in sequence
        (2, 2, 100 + 600 + 35),  # generation 0, two chains, then the third
        (3, 3, 100 + 300 + 28),
        (50, 50, 400 + 7),
    ],
)
def test_the_makespan_by_hand(training_slots: int, evaluation_slots: int, wanted: float) -> None:
    assert makespan(PLAN, PLAN.nodes, SECONDS, training_slots, evaluation_slots) == wanted


def test_finished_work_takes_no_time() -> None:
    todo = {key for key, node in PLAN.nodes.items() if node.kind == "generation" and node.generation >= 2}
    assert critical_path(PLAN, todo, SECONDS) == 200.0
    assert makespan(PLAN, todo, SECONDS, 3, 3) == 200.0
    assert critical_path(PLAN, set(), SECONDS) == makespan(PLAN, set(), SECONDS, 2, 2) == 0.0


def test_the_makespan_agrees_with_a_simulated_clock() -> None:
    """In each second, every free training slot takes the next chain whose parent is done."""
    dice = random.Random(5)
    for _ in range(30):
        seconds = {
            key: float(dice.randint(1, 9)) if node.kind == "generation" else 0.0 for key, node in PLAN.nodes.items()
        }
        todo = {key for key, node in PLAN.nodes.items() if node.kind == "generation" and (dice.random() < 0.8)}
        training_slots = dice.randint(1, 4)
        waiting = segments(PLAN, todo)
        keys = {chain.key for chain in waiting}
        left: dict[str, float] = {}
        done: set[str] = set()
        now = 0.0
        while waiting or left:
            ready = [chain for chain in waiting if chain.parent in done or chain.parent not in keys]
            for chain in ready[: training_slots - len(left)]:
                left[chain.key] = sum(seconds[node.key] for node in chain.nodes)
                waiting.remove(chain)
            now += 1
            left = {key: each - 1 for key, each in left.items()}
            done |= {key for key, each in left.items() if each == 0}
            left = {key: each for key, each in left.items() if each > 0}
        found = makespan(PLAN, todo, seconds, training_slots, 1)
        bound = max(critical_path(PLAN, todo, seconds), sum(seconds[key] for key in todo) / training_slots)
        assert found >= bound
        assert found == pytest.approx(
            now, abs=9
        )  # the order of chains that become ready in the same second is arbitrary


def test_worker_capacity_counts_whole_workers_of_each_node() -> None:
    nodes = [{"CPU": 5.0}, {"CPU": 3.0, "GPU": 2.0}]
    assert worker_capacity(nodes, Resources(cpus=2)) == 2 + 1
    assert worker_capacity(nodes, Resources(cpus=1, gpus=1)) == 2
    assert worker_capacity(nodes, Resources(cpus=1, gpus=0.5)) == 3
    assert worker_capacity(nodes, Resources(cpus=4, gpus=1)) == 0
