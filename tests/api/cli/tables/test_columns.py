"""Which arms a table of results shows after which generation, and which share generation 0."""

from typing import Any

from api.cli.tables.columns import columns_of, ends_of, heading_of, named, starts_of
from api.cli.tables.scores import Row
from tests.api.cli.tables.builders import score


def rows(**nodes: tuple[Any, ...]) -> list[Row]:
    """Two seeds of each arm after generations 0 and 1, measured at generation 0 by these nodes; None is not measured.

    A node that is a tuple has measured two data sets.
    """
    found = []
    for arm, of_seeds in nodes.items():
        for seed, node in enumerate(of_seeds):
            found.append(score(arm, 1, 0.5, seed, node=f"{arm}{seed}"))
            for dataset, each in enumerate(node if isinstance(node, tuple) else (node,)):
                found += [] if each is None else [score(arm, 0, 0.5, seed, node=each, dataset=str(dataset))]
    return found


def starts(**nodes: tuple[Any, ...]) -> list[tuple[str, ...]]:
    found = rows(**nodes)
    return starts_of(found, ends_of(found))


def test_arms_share_generation_0_if_the_same_nodes_measured_it() -> None:
    assert starts(normal=("a", "b"), seal=("a", "b"), wide=("c", "d")) == [("normal", "seal"), ("wide",)]


def test_one_seed_with_another_network_is_no_shared_generation_0() -> None:
    assert starts(normal=("a", "b"), seal=("a", "c")) == [("normal",), ("seal",)]


def test_arms_that_are_evaluated_on_different_data_share_what_they_have_in_common() -> None:
    assert starts(normal=(("a", "x"),), seal=(("a", None),), llf=((None, "x"),)) == [("normal", "seal", "llf")]
    assert starts(normal=(("a", None),), seal=((None, "x"),)) == [("normal",), ("seal",)]


def test_an_arm_without_generation_0_or_without_a_later_one_is_in_no_group() -> None:
    found = [*rows(normal=("a",), late=(None,)), score("theirs", 0, 0.5, node="a")]
    assert starts_of(found, ends_of(found)) == [("normal",)]


def test_evaluations_say_where_an_arm_ends_and_training_only_where_there_is_none() -> None:
    training: dict[str, Any] = {"evaluator": "training", "metric": "test_accuracy/last"}
    found = [
        score("seal", 2, 0.5, generations=6),
        score("seal", 4, 0.5, generations=6, **training),
        score("llf", 3, 0.5, generations=6, **training),
        score("theirs", 0, 0.5, generations=None),
        score("old", 7, 0.5),
    ]
    texts = {arm: (end.text, end.checkpoint) for arm, end in ends_of(found).items()}
    assert texts == {
        "seal": ("generation 2 of 5", False),
        "llf": ("generation 3 of 5", False),
        "theirs": ("generation 0", True),
        "old": ("generation 7", False),
    }


def test_a_generation_0_of_several_arms_comes_first_and_that_of_one_arm_before_it() -> None:
    found = rows(normal=("a",), wide=("b",), seal=("a",))
    ends = ends_of(found)
    headings = [heading_of(column, ends) for column in columns_of(ends, starts_of(found, ends))]
    assert headings == [
        ("generation 0", "of normal, seal"),
        ("normal",),
        ("generation 0", "of wide"),
        ("wide",),
        ("seal",),
    ]


def test_many_arms_are_counted_rather_than_named() -> None:
    assert named(("normal", "llf")) == "normal, llf"
    assert named(tuple(f"trial-{index:02}" for index in range(9))) == "trial-00 and 8 more"
    assert named(("a" * 40,)) == "a" * 40
