import random

import pytest

from orchestrator.estimate.makespan import critical_path, with_lanes
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
"""Generation 0, then three chains of three generations; ten judgements."""
SECONDS = {key: 100.0 if node.kind == "generation" else 7.0 for key, node in PLAN.nodes.items()}


def test_the_critical_path_is_the_longest_chain_and_then_the_longest_judgement() -> None:
    assert critical_path(PLAN, PLAN.nodes, SECONDS) == 407.0
    longer = SECONDS | {next(key for key, node in PLAN.nodes.items() if node.title == "seal/seed0/g2"): 150.0}
    assert critical_path(PLAN, PLAN.nodes, longer) == 457.0


@pytest.mark.parametrize(
    ("lanes", "slots", "wanted"),
    [
        (1, 1, 1000 + 70),  # ten generations and ten judgements, one after another
        (2, 2, 100 + 600 + 35),  # generation 0, two chains, then the third
        (3, 3, 100 + 300 + 28),
        (50, 50, 400 + 7),
    ],
)
def test_lanes_by_hand(lanes: int, slots: int, wanted: float) -> None:
    assert with_lanes(PLAN, PLAN.nodes, SECONDS, lanes, slots) == wanted


def test_what_is_done_takes_no_time_and_holds_nothing_up() -> None:
    todo = {key for key, node in PLAN.nodes.items() if node.kind == "generation" and node.generation >= 2}
    assert critical_path(PLAN, todo, SECONDS) == 200.0
    assert with_lanes(PLAN, todo, SECONDS, 3, 3) == 200.0
    assert critical_path(PLAN, set(), SECONDS) == with_lanes(PLAN, set(), SECONDS, 2, 2) == 0.0


def test_lanes_agree_with_a_clock_that_ticks() -> None:
    """Second by second, each lane that is free takes the next chain whose parent is done."""
    dice = random.Random(5)
    for _ in range(30):
        seconds = {
            key: float(dice.randint(1, 9)) if node.kind == "generation" else 0.0 for key, node in PLAN.nodes.items()
        }
        todo = {key for key, node in PLAN.nodes.items() if node.kind == "generation" and (dice.random() < 0.8)}
        lanes = dice.randint(1, 4)
        waiting = segments(PLAN, todo)
        keys = {chain.key for chain in waiting}
        left: dict[str, float] = {}
        done: set[str] = set()
        now = 0.0
        while waiting or left:
            ready = [chain for chain in waiting if chain.parent in done or chain.parent not in keys]
            for chain in ready[: lanes - len(left)]:
                left[chain.key] = sum(seconds[node.key] for node in chain.nodes)
                waiting.remove(chain)
            now += 1
            left = {key: each - 1 for key, each in left.items()}
            done |= {key for key, each in left.items() if each == 0}
            left = {key: each for key, each in left.items() if each > 0}
        found = with_lanes(PLAN, todo, seconds, lanes, 1)
        bound = max(critical_path(PLAN, todo, seconds), sum(seconds[key] for key in todo) / lanes)
        assert found >= bound
        assert found == pytest.approx(now, abs=9)  # chains that become ready at the same second may go in another order


def test_room_counts_whole_workers_of_each_node() -> None:
    nodes = [{"CPU": 5.0}, {"CPU": 3.0, "GPU": 2.0}]
    assert worker_capacity(nodes, Resources(cpus=2)) == 2 + 1
    assert worker_capacity(nodes, Resources(cpus=1, gpus=1)) == 2
    assert worker_capacity(nodes, Resources(cpus=1, gpus=0.5)) == 3
    assert worker_capacity(nodes, Resources(cpus=4, gpus=1)) == 0
