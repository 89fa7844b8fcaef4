"""Tests the promotions from rung to rung: for few trials by hand, and for results in any order."""

import random

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.halving import Promotion, kept, promotions, standing
from orchestrator.spec import Ladder, ladder


def test_rungs_are_powers_of_the_reduction_times_the_first_and_then_the_end() -> None:
    assert ladder(10, 1, 3, 1).rungs == (1, 3, 9)
    assert ladder(11, 1, 3, 1).rungs == (1, 3, 9, 10)
    assert ladder(28, 2, 2, 1).rungs == (2, 4, 8, 16, 27)
    assert ladder(4, 3, 3, 1).rungs == (3,)
    assert ladder(10, None, 3, 1).rungs == (9,)
    assert ladder(1, 1, 3, 1).rungs == (0,)


TWO = Ladder((1, 3), reduction=2, keep=1)


def test_at_first_all_trials_may_train_to_the_first_rung_in_order() -> None:
    assert promotions(TWO, "abc", {}, {}, []) == [Promotion("a", 1), Promotion("b", 1), Promotion("c", 1)]
    assert promotions(TWO, "abc", {}, {"a": 1}, []) == [Promotion("b", 1), Promotion("c", 1)]


def test_one_in_two_is_promoted_before_the_others_arrive_and_before_new_ones_start() -> None:
    assert promotions(TWO, "abcd", {"a": {1: 0.5}}, {"b": 1}, []) == [Promotion("c", 1), Promotion("d", 1)]
    scores = {"a": {1: 0.5}, "b": {1: 0.6}}
    assert promotions(TWO, "abcd", scores, {"c": 1}, []) == [Promotion("b", 3), Promotion("d", 1)]


def test_a_trial_that_is_overtaken_later_keeps_its_rung() -> None:
    scores = {"a": {1: 0.5, 3: 0.5}, "b": {1: 0.4}, "c": {1: 0.7}, "d": {1: 0.6}}
    assert promotions(TWO, "abcd", scores, {}, []) == [Promotion("c", 3), Promotion("d", 3)]


def test_from_a_final_rung_at_least_as_many_are_promoted_as_are_kept() -> None:
    """A quarter of three trials is none, so two are promoted only once all three have reached the rung."""
    three = Ladder((1, 3), reduction=4, keep=2)
    scores = {"a": {1: 0.5}, "b": {1: 0.6}}
    assert promotions(three, "abc", scores, {"c": 1}, []) == []
    assert promotions(three, "abc", scores | {"c": {1: 0.7}}, {}, []) == [Promotion("c", 3), Promotion("b", 3)]


def test_a_failed_trial_is_replaced_by_the_next_best() -> None:
    scores = {"a": {1: 0.5}, "b": {1: 0.6}}
    assert promotions(TWO, "abc", scores, {}, ["c"]) == [Promotion("b", 3)]
    assert promotions(TWO, "abc", scores, {}, ["b", "c"]) == [Promotion("a", 3)]


def test_equal_scores_are_promoted_in_the_order_of_the_trials() -> None:
    scores = {trial: {1: 0.5} for trial in "dcba"}
    assert promotions(TWO, "abcd", scores, {}, []) == [Promotion("a", 3), Promotion("b", 3)]


def test_the_standing_counts_rungs_before_scores() -> None:
    scores = {"a": {0: 0.9, 1: 0.9}, "b": {1: 0.2, 3: 0.2}, "c": {1: 0.1, 3: 0.3}, "d": {0: 1.0}}
    assert standing(TWO, "abcd", scores) == ["c", "b", "a", "d"]
    assert kept(TWO, "abcd", scores) == ["c"]
    assert kept(TWO, "abcd", {"a": {1: 0.9}}) == []


def run(
    ladder: Ladder, score: dict[str, dict[int, float]], slots: int, order: random.Random
) -> dict[str, dict[int, float]]:
    """Runs a search on `slots` workers whose segments end in random order. Returns all scores by trial and rung."""
    known: dict[str, dict[int, float]] = {trial: {} for trial in score}
    training: dict[str, int] = {}
    while True:
        for promotion in promotions(ladder, list(score), known, training, [])[: slots - len(training)]:
            training[promotion.trial] = promotion.to
        if not training:
            return known
        trial = order.choice(sorted(training))
        known[trial][training.pop(trial)] = score[trial][max(known[trial], default=0)]


SEARCHES = st.tuples(st.integers(1, 12), st.integers(2, 4), st.integers(1, 4), st.integers(1, 5), st.integers(0, 10**6))


@given(SEARCHES)
def test_the_best_of_every_rung_are_promoted_and_a_search_that_is_over_stays_over(
    search: tuple[int, int, int, int, int],
) -> None:
    trials, reduction, keep, slots, seed = search
    order = random.Random(seed)
    one = Ladder((1, reduction, reduction**2, 20), reduction, min(keep, trials))
    score = {f"t{index}": {rung: order.random() for rung in (0, *one.rungs)} for index in range(trials)}
    known = run(one, score, slots, order)
    assert promotions(one, list(score), known, {}, []) == []
    for below, above in zip(one.rungs, one.rungs[1:], strict=False):
        there = sorted((trial for trial in score if below in known[trial]), key=lambda trial: -known[trial][below])
        quota = max(len(there) // reduction, one.keep)
        assert all(above in known[trial] for trial in there[:quota])
        assert all(below in known[trial] for trial in score if above in known[trial])
    assert all(1 in scores for scores in known.values())
    assert len(kept(one, list(score), known)) == one.keep


@given(SEARCHES)
def test_a_search_with_a_part_of_its_scores_trains_nothing_that_the_whole_did_not(
    search: tuple[int, int, int, int, int],
) -> None:
    trials, reduction, keep, slots, seed = search
    order = random.Random(seed)
    one = Ladder((1, reduction, 20), reduction, min(keep, trials))
    score = {f"t{index}": {rung: order.random() for rung in (0, *one.rungs)} for index in range(trials)}
    known = run(one, score, slots, order)
    part = {trial: {rung: value for rung, value in known[trial].items() if rung < 20} for trial in score}
    for promotion in promotions(one, list(score), part, {}, []):
        assert promotion.to == 20
        assert 20 in known[promotion.trial]
