"""Estimated hours against arithmetic by hand, with rates that the tests make up."""

import itertools
from typing import Any

import pytest

from orchestrator import plan as planning
from orchestrator.estimate.hours import BASIS, ClusterCapacity, Rates, count_units, estimate_hours
from orchestrator.estimate.rates import Rate
from orchestrator.estimate.workload import Workload
from orchestrator.intake.check import check
from orchestrator.plan import Plan
from orchestrator.spec import Resources
from tests.orchestrator.builders import small

RAW: dict[str, Any] = small(
    arms=[{"name": name, "method": {"name": name}} for name in ("normal", "born-again")],
    evaluations=[{"evaluator": {"name": name}} for name in ("accuracy", "prediction-depth")],
)
"""Two arms that share generation 0: 3 generations, one of them taught, and 2 evaluations of each kind.

Each generation has 9 steps: 40 images in batches of 16, three epochs.
"""
SAMPLES_S = tuple(float(each) for each in range(1, 20))
"""Samples in seconds whose p10, p50 and p90 are 2, 10 and 18."""
NULL = {"p10": None, "p50": None, "p90": None}


def planned_work(raw: dict[str, Any]) -> tuple[Plan, Workload]:
    spec = check(raw)
    return planning.plan(spec), Workload(spec)


def estimated(
    raw: dict[str, Any], steps: set[str], evaluated: set[str], capacity: ClusterCapacity | None = None
) -> dict[str, Any]:
    """Returns the hours of a plan in which the named families of steps and evaluators have the rate `SAMPLES_S`."""
    plan, workload = planned_work(raw)
    steps_by_kind, evaluations_by_kind = count_units(plan, workload, plan.nodes)
    rate = Rate(SAMPLES_S, "made up")
    rates = Rates(
        {kind: rate for kind in steps_by_kind if kind.family in steps},
        {kind: rate for kind in evaluations_by_kind if kind.name in evaluated},
    )
    return estimate_hours(plan, workload, plan.nodes, rates, Resources(), capacity)


def hours(p10: float, p50: float, p90: float) -> dict[str, Any]:
    return {end: pytest.approx(seconds / 3600, rel=1e-3) for end, seconds in (("p10", p10), ("p50", p50), ("p90", p90))}


def test_work_is_counted_in_steps_and_evaluations() -> None:
    plan, workload = planned_work(RAW)
    steps, evaluations = count_units(plan, workload, plan.nodes)
    assert sorted((kind.family, count) for kind, count in steps.items()) == [("ordinary", 18), ("taught", 9)]
    assert sorted((kind.name, count) for kind, count in evaluations.items()) == [
        ("accuracy", 2),
        ("prediction-depth", 2),
    ]


def test_a_complete_estimate_by_hand() -> None:
    """27 steps and 4 evaluations of 10 s; two generations and one evaluation are the critical path."""
    found = estimated(RAW, {"ordinary", "taught"}, {"accuracy", "prediction-depth"}, ClusterCapacity(2, 4))
    assert (found["partial"], found["unknown"]) == (False, [])
    assert found["training_hours"] == hours(54, 270, 486)
    assert found["evaluation_hours"] == hours(8, 40, 72)
    assert found["hours"] == hours(62, 310, 558)
    assert found["gpu_hours"] == {"p10": 0, "p50": 0, "p90": 0}
    wall = found["wall_hours"]
    assert wall["one_after_another"] == found["hours"]
    assert wall["critical_path"] == hours(36 + 2, 180 + 10, 324 + 18)
    assert wall["lanes"] == hours(36 + 2, 180 + 10, 324 + 18) | {"count": 2}
    first = found["parts"][0]
    assert (first["stage"], first["units"], first["unit"], first["samples"]) == ("training", 18, "step", 19)
    assert first["what"] == "resnet-digits on digits-noisy, batch 16, fp32, 1 CPU thread"
    assert (first["seconds_per_unit"], first["basis"]) == ({"p10": 2, "p50": 10, "p90": 18}, "made up")


def test_unknown_kinds_have_no_hours_and_make_the_totals_partial() -> None:
    found = estimated(RAW, {"ordinary"}, {"accuracy"})
    assert found["partial"]
    assert found["unknown"] == [
        "no history of resnet-digits on digits-noisy, batch 16, fp32, taught steps, 1 CPU thread",
        "no history of prediction-depth (layers layer1 layer2 layer3 layer4 fc) of resnet-digits on digits-noisy",
    ]
    assert [part["hours"] for part in found["parts"] if part["samples"] == 0] == [NULL, NULL]
    assert found["hours"] == hours(36 + 4, 180 + 20, 324 + 36)
    assert found["wall_hours"]["lanes"] is None


def test_without_any_rate_there_are_no_hours() -> None:
    found = estimated(RAW, set(), set(), ClusterCapacity(2, 2))
    assert found["hours"] == found["training_hours"] == found["gpu_hours"] == NULL
    assert found["wall_hours"]["critical_path"] == found["wall_hours"]["one_after_another"] == NULL
    assert found["wall_hours"]["lanes"] == NULL | {"count": 2}


def test_gpu_hours_are_null_without_any_rate() -> None:
    """They are null also if the other stage has no work."""
    assert estimated(RAW | {"evaluations": []}, set(), set())["gpu_hours"] == NULL
    assert estimated(RAW | {"evaluations": []}, {"ordinary"}, set())["gpu_hours"] == {"p10": 0, "p50": 0, "p90": 0}
    plan, workload = planned_work(RAW)
    evaluated = {key for key, node in plan.nodes.items() if node.kind == "evaluation"}
    assert estimate_hours(plan, workload, evaluated, Rates({}, {}), Resources(gpus=1), None)["gpu_hours"] == NULL


def test_nothing_to_do_costs_nothing() -> None:
    plan, workload = planned_work(RAW)
    found = estimate_hours(plan, workload, set(), Rates({}, {}), Resources(), None)
    none = {"p10": 0, "p50": 0, "p90": 0}
    assert (found["partial"], found["hours"], found["gpu_hours"], found["parts"]) == (False, none, none, [])


def test_the_basis_states_what_the_interval_contains() -> None:
    assert "8 of 10 further units of the generations that were timed are expected between p10 and p90" in BASIS
    assert "if only one generation was timed, it does not contain the differences between runs" in BASIS


def test_one_sample_has_a_median_and_no_interval() -> None:
    plan, workload = planned_work(RAW | {"evaluations": []})
    steps, _ = count_units(plan, workload, plan.nodes)
    found = estimate_hours(
        plan, workload, plan.nodes, Rates(dict.fromkeys(steps, Rate((2.0,), "")), {}), Resources(), None
    )
    assert found["hours"] == {"p10": None, "p50": pytest.approx(54 / 3600, rel=1e-3), "p90": None}
    assert found["wall_hours"]["critical_path"] == {"p10": None, "p50": pytest.approx(36 / 3600, rel=1e-3), "p90": None}


def test_gpu_hours_count_all_workers_of_a_training_slot_and_one_of_an_evaluation() -> None:
    plan, workload = planned_work(RAW)
    steps, evaluations = count_units(plan, workload, plan.nodes)
    rate = Rate(SAMPLES_S, "")
    rates = Rates(dict.fromkeys(steps, rate), dict.fromkeys(evaluations, rate))
    found = estimate_hours(plan, workload, plan.nodes, rates, Resources(gpus=2, workers=3), None)
    assert found["gpu_hours"]["p50"] == pytest.approx((270 * 6 + 40 * 2) / 3600, rel=1e-3)


def test_parts_add_up_to_the_total() -> None:
    names = ("ordinary", "taught")
    for known in itertools.chain.from_iterable(itertools.combinations(names, size) for size in (1, 2)):
        found = estimated(RAW, set(known), {"accuracy"})
        middle = sum(part["hours"]["p50"] or 0 for part in found["parts"])
        assert found["hours"]["p50"] == pytest.approx(middle, rel=1e-3)
