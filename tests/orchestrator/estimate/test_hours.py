"""The quote against arithmetic by hand, over rates that the test makes up."""

import itertools
from typing import Any

import pytest

from orchestrator import plan as planning
from orchestrator.estimate.hours import BASIS, Rates, Room, kinds, quote
from orchestrator.estimate.rates import Rate
from orchestrator.estimate.workload import Work
from orchestrator.intake.check import check
from orchestrator.plan import Plan
from orchestrator.spec import Resources
from tests.orchestrator.builders import small

RAW: dict[str, Any] = small(
    arms=[{"name": name, "method": {"name": name}} for name in ("normal", "born-again")],
    evaluations=[{"evaluator": {"name": name}} for name in ("accuracy", "prediction-depth")],
)
"""40 images in batches of 16, three epochs: 9 steps in each of 3 generations, one of them taught; 2 judgements of each kind."""
TEN = tuple(float(each) for each in range(1, 20))
"""Seconds whose p10, p50 and p90 are 2, 10 and 18."""
NULL = {"p10": None, "p50": None, "p90": None}


def prepared(raw: dict[str, Any]) -> tuple[Plan, Work]:
    spec = check(raw)
    return planning.plan(spec), Work(spec)


def quoted(raw: dict[str, Any], steps: set[str], judged: set[str], room: Room | None = None) -> dict[str, Any]:
    """With `TEN` for the families of steps and the evaluators that are named."""
    plan, work = prepared(raw)
    some, others = kinds(plan, work, plan.nodes)
    rate = Rate(TEN, "made up")
    rates = Rates(
        {kind: rate for kind in some if kind.family in steps}, {kind: rate for kind in others if kind.name in judged}
    )
    return quote(plan, work, plan.nodes, rates, Resources(), room)


def hours(p10: float, p50: float, p90: float) -> dict[str, Any]:
    return {end: pytest.approx(seconds / 3600, rel=1e-3) for end, seconds in (("p10", p10), ("p50", p50), ("p90", p90))}


def test_what_is_to_do_is_counted_in_steps_and_judgements() -> None:
    plan, work = prepared(RAW)
    steps, judgements = kinds(plan, work, plan.nodes)
    assert sorted((kind.family, count) for kind, count in steps.items()) == [("ordinary", 18), ("taught", 9)]
    assert sorted((kind.name, count) for kind, count in judgements.items()) == [
        ("accuracy", 2),
        ("prediction-depth", 2),
    ]


def test_a_complete_quote_by_hand() -> None:
    """27 steps and 4 judgements of 10 s; two generations in a row and the longest judgement are the critical path."""
    found = quoted(RAW, {"ordinary", "taught"}, {"accuracy", "prediction-depth"}, Room(2, 4))
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


def test_what_is_not_known_has_no_figure_and_makes_the_totals_partial() -> None:
    found = quoted(RAW, {"ordinary"}, {"accuracy"})
    assert found["partial"]
    assert found["unknown"] == [
        "no history of resnet-digits on digits-noisy, batch 16, fp32, taught steps, 1 CPU thread",
        "no history of prediction-depth (layers layer1 layer2 layer3 layer4 fc) of resnet-digits on digits-noisy",
    ]
    assert [part["hours"] for part in found["parts"] if part["samples"] == 0] == [NULL, NULL]
    assert found["hours"] == hours(36 + 4, 180 + 20, 324 + 36)
    assert found["wall_hours"]["lanes"] is None


def test_nothing_known_is_no_figure_at_all() -> None:
    found = quoted(RAW, set(), set(), Room(2, 2))
    assert found["hours"] == found["training_hours"] == found["gpu_hours"] == NULL
    assert found["wall_hours"]["critical_path"] == found["wall_hours"]["one_after_another"] == NULL
    assert found["wall_hours"]["lanes"] == NULL | {"count": 2}


def test_gpu_hours_of_which_nothing_is_known_are_no_figure() -> None:
    """Also where there is nothing of the other stage to do."""
    assert quoted(RAW | {"evaluations": []}, set(), set())["gpu_hours"] == NULL
    assert quoted(RAW | {"evaluations": []}, {"ordinary"}, set())["gpu_hours"] == {"p10": 0, "p50": 0, "p90": 0}
    plan, work = prepared(RAW)
    judged = {key for key, node in plan.nodes.items() if node.kind == "evaluation"}
    assert quote(plan, work, judged, Rates({}, {}), Resources(gpus=1), None)["gpu_hours"] == NULL


def test_nothing_to_do_costs_nothing() -> None:
    plan, work = prepared(RAW)
    found = quote(plan, work, set(), Rates({}, {}), Resources(), None)
    none = {"p10": 0, "p50": 0, "p90": 0}
    assert (found["partial"], found["hours"], found["gpu_hours"], found["parts"]) == (False, none, none, [])


def test_the_basis_says_of_what_8_of_10_are() -> None:
    assert "8 of 10 further units of the generations that were timed lie between p10 and p90" in BASIS
    assert "from one generation it does not contain what differs between runs" in BASIS


def test_one_sample_has_a_middle_and_no_ends() -> None:
    plan, work = prepared(RAW | {"evaluations": []})
    steps, _ = kinds(plan, work, plan.nodes)
    found = quote(plan, work, plan.nodes, Rates(dict.fromkeys(steps, Rate((2.0,), "")), {}), Resources(), None)
    assert found["hours"] == {"p10": None, "p50": pytest.approx(54 / 3600, rel=1e-3), "p90": None}
    assert found["wall_hours"]["critical_path"] == {"p10": None, "p50": pytest.approx(36 / 3600, rel=1e-3), "p90": None}


def test_gpu_hours_are_those_of_all_workers_of_a_lane_and_of_an_evaluations_one() -> None:
    plan, work = prepared(RAW)
    steps, judgements = kinds(plan, work, plan.nodes)
    rate = Rate(TEN, "")
    rates = Rates(dict.fromkeys(steps, rate), dict.fromkeys(judgements, rate))
    found = quote(plan, work, plan.nodes, rates, Resources(gpus=2, workers=3), None)
    assert found["gpu_hours"]["p50"] == pytest.approx((270 * 6 + 40 * 2) / 3600, rel=1e-3)


def test_parts_add_up_to_the_total() -> None:
    names = ("ordinary", "taught")
    for known in itertools.chain.from_iterable(itertools.combinations(names, size) for size in (1, 2)):
        found = quoted(RAW, set(known), {"accuracy"})
        middle = sum(part["hours"]["p50"] or 0 for part in found["parts"])
        assert found["hours"]["p50"] == pytest.approx(middle, rel=1e-3)
