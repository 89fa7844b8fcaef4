from orchestrator.report.first_generation import first_generation
from orchestrator.report.source import Source
from orchestrator.store import Store
from tests.orchestrator.builders import node, planned, small, submitted
from tests.orchestrator.report.builders import FEW, evaluated, row

LOOKS = ["digits-edges", "digits-inverted"]
EVERY = [
    {"evaluator": {"name": "accuracy"}, "on": ["every"]},
    {"evaluator": FEW | {"targets": LOOKS}, "on": ["every"]},
    {"evaluator": {"name": "prediction-depth"}, "on": ["last"]},
]


def test_arms_that_share_generation_0_have_the_same_nodes_there(store: Store) -> None:
    raw = small(evaluations=EVERY)
    experiment, plan = submitted(store, raw), planned(raw)
    expected: dict[str, set[str]] = {}
    for key, each in plan.nodes.items():
        if each.kind == "evaluation" and each.evaluator is not None and each.generation == 0:
            few = each.evaluator["name"] == "few-shot"
            evaluated(store, experiment, each, {"5shot/acc": 0.5} if few else {"top1": 0.5})
            expected.setdefault(each.target_label if few else "accuracy", set()).add(key)
    source = Source(store, row(store, experiment), "small")
    for arm in ("normal", "seal"):
        assert first_generation(source, arm, "accuracy") == frozenset(expected["accuracy"])
        assert first_generation(source, arm, "few-shot", "digits-edges") == frozenset(expected["digits-edges"])
        assert first_generation(source, arm, "few-shot") == frozenset(
            expected["digits-edges"] | expected["digits-inverted"]
        )


def test_it_is_no_entry_of_its_own_where_it_is_not_evaluated_or_nothing_later_is(store: Store) -> None:
    only_first = {"evaluator": {"name": "accuracy"}, "arms": ["normal"], "on": ["first"]}
    raw = small(evaluations=[only_first, *EVERY[2:]])
    experiment, plan = submitted(store, raw), planned(raw)
    evaluated(store, experiment, node(plan, "normal", 0, "evaluation"), {"top1": 0.5})
    source = Source(store, row(store, experiment), "small")
    assert first_generation(source, "normal", "accuracy") is None
    assert first_generation(source, "seal", "prediction-depth") is None


def test_it_is_empty_while_nothing_is_measured(store: Store) -> None:
    experiment = submitted(store, small(evaluations=EVERY))
    assert first_generation(Source(store, row(store, experiment), "small"), "seal", "accuracy") == frozenset()
