"""Tests what a search trains next, with a driver that only records it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator import intake
from orchestrator import plan as planning
from orchestrator.plan import Plan
from orchestrator.plan.rungs import RungSchedule, RungSegment
from orchestrator.plan.search import Trials
from orchestrator.spec import ExperimentSpec
from orchestrator.states import Reason
from orchestrator.store import Store
from tests.orchestrator.intake.test_search import searched

REDUCED = {"trials": 4, "keep": 1, "early_stop": {"min_generations": 1, "reduction": 2}}
SCORES = {"seal-t00": 0.5, "seal-t01": 0.8, "seal-t02": 0.6, "seal-t03": 0.7}
"""The score of each trial in every generation but the first, which all trials share."""


@dataclass
class FakeDriver:
    """A driver that trains and evaluates by setting scores.

    The nodes in `elsewhere` are claimed by another experiment.
    """

    spec: ExperimentSpec
    plan: Plan
    trials: Trials
    score: Callable[[str], float] = SCORES.__getitem__
    done: set[str] = field(default_factory=set)
    failed: dict[str, Reason] = field(default_factory=dict)
    values: dict[str, float | None] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    trained: list[tuple[str, int, int]] = field(default_factory=list)

    def claim(self, key: str) -> bool:
        return key not in self.elsewhere and key not in self.done

    def claim_all(self, keys: Sequence[str]) -> bool:
        return all(self.claim(key) for key in keys)

    def schedule(self) -> RungSchedule:
        return RungSchedule(self.trials, self, lambda: dict(self.values))

    def common(self) -> None:
        """Trains the generations that trials share, as the training slots do."""
        own = self.trials.own(self.plan)
        self.done |= {key for key, node in self.plan.nodes.items() if node.kind == "generation" and key not in own}

    def run(self, segment: RungSegment) -> None:
        """Trains and evaluates a segment."""
        for node in segment.train:
            assert node.parent in self.done
            assert node.key not in self.done
            self.done.add(node.key)
            self.trained.append((segment.trial, segment.seed, node.generation))
        for node in segment.evaluate:
            assert node.parent in self.done
            self.done.add(node.key)
            self.values[node.key] = self.score(segment.trial) if node.generation else 0.1

    def all(self, schedule: RungSchedule) -> None:
        """Runs segments one after another until none is left."""
        while (segment := schedule.next()) is not None:
            self.run(segment)
            schedule.ended(segment)
        assert schedule.over


@pytest.fixture
def driver(tmp_path: Path) -> Callable[..., FakeDriver]:
    """Creates the driver of a search over four trials, after the training of the generations that they share."""

    def create(search: dict[str, Any] | None = None, **changes: Any) -> FakeDriver:
        store = Store(f"sqlite:///{tmp_path / 'relearn.db'}")
        spec = intake.read_spec(searched(REDUCED | (search or {}), **changes), store)
        store.close()
        one = FakeDriver(spec, planning.plan(spec), Trials(spec))
        one.common()
        return one

    return create


def test_segments_go_from_rung_to_rung_and_the_worse_half_is_given_up(driver: Callable[..., FakeDriver]) -> None:
    """With one worker, the better of the first two (0.8 > 0.5) is promoted before the third starts.

    Then the better two of four (0.8 and 0.7) are promoted.
    """
    one = driver()
    one.all(one.schedule())
    assert one.trained == [
        ("seal-t00", 0, 1),
        ("seal-t01", 0, 1),
        ("seal-t01", 0, 2),
        ("seal-t02", 0, 1),
        ("seal-t03", 0, 1),
        ("seal-t03", 0, 2),
    ]
    assert one.trials.kept(one.values) == ["seal-t01"]


def test_known_scores_are_not_trained_again_and_a_search_that_is_over_stays_over(
    driver: Callable[..., FakeDriver],
) -> None:
    one = driver()
    one.all(one.schedule())
    before = list(one.trained)
    assert one.schedule().over
    assert one.schedule().next() is None
    assert one.trained == before


def test_more_generations_are_trained_only_for_the_promoted_trials(driver: Callable[..., FakeDriver]) -> None:
    one = driver()
    one.all(one.schedule())
    longer = driver(train=searched()["train"] | {"generations": 4})
    longer.done, longer.values, longer.trained = one.done | longer.done, one.values, []
    longer.all(longer.schedule())
    assert longer.trained == [("seal-t01", 0, 3)]  # the better of the two that have generation 2, which is a rung now


def test_the_score_of_a_trial_is_the_mean_over_its_seeds_once_all_are_evaluated(
    driver: Callable[..., FakeDriver],
) -> None:
    one = driver(seeds=[0, 1])
    schedule = one.schedule()
    segment = schedule.next()
    assert segment is not None
    assert (segment.trial, segment.seed) == ("seal-t00", 0)
    one.run(segment)
    assert one.trials.scores(one.values)["seal-t00"] == {}
    schedule.ended(segment)
    other = schedule.next()
    assert other is not None
    assert (other.trial, other.seed) == ("seal-t00", 1)
    one.score = lambda trial: 0.9
    one.run(other)
    assert one.trials.scores(one.values)["seal-t00"] == {0: pytest.approx(0.1), 1: pytest.approx(0.7)}


def test_two_workers_have_segments_at_the_same_time_that_share_no_node(driver: Callable[..., FakeDriver]) -> None:
    one = driver()
    schedule = one.schedule()
    pair = [schedule.next(), schedule.next()]
    nodes = [node.key for segment in pair if segment is not None for node in (*segment.train, *segment.evaluate)]
    assert len(nodes) == len(set(nodes)) == 2 + 2 + 1  # only one of them evaluates the shared first generation
    assert not schedule.over


def test_a_rung_segment_waits_for_another_experiment_while_others_continue(driver: Callable[..., FakeDriver]) -> None:
    one = driver({"early_stop": None})
    theirs = one.trials.generations["seal-t00", 0][1].key
    one.elsewhere = {theirs}
    schedule = one.schedule()
    for expected in ("seal-t01", "seal-t02", "seal-t03"):
        segment = schedule.next()
        assert segment is not None
        assert segment.trial == expected
        one.run(segment)
        schedule.ended(segment)
    assert schedule.next() is None
    assert not schedule.over
    one.done.add(theirs)  # the other experiment has finished it
    one.elsewhere = set()
    one.all(schedule)
    assert one.trained[-1] == ("seal-t00", 0, 2)
    assert ("seal-t00", 0, 1) not in one.trained


def test_an_objective_that_another_experiment_measured_meanwhile_is_used(driver: Callable[..., FakeDriver]) -> None:
    one = driver()
    schedule = one.schedule()
    generation, objective = one.trials.generations["seal-t00", 0][1], one.trials.objectives["seal-t00", 0][1]
    claim = one.claim

    def found(key: str) -> bool:
        if key == generation.key:
            one.done |= {generation.key, objective.key}
            one.values[objective.key] = 0.5
        return claim(key)

    one.claim = found  # type: ignore[method-assign]
    schedule = one.schedule()
    segment = schedule.next()
    assert segment is not None
    assert segment.trial == "seal-t01"


def test_a_generation_whose_objective_is_missing_is_evaluated_and_not_trained(
    driver: Callable[..., FakeDriver],
) -> None:
    """An earlier driver died after it trained the generation and before it evaluated it."""
    one = driver()
    one.done.add(one.trials.generations["seal-t00", 0][1].key)
    segment = one.schedule().next()
    assert segment is not None
    assert segment.train == ()
    assert [node.generation for node in segment.evaluate] == [0, 1]


def test_a_trial_that_failed_is_out_and_its_failure_is_excused_if_the_loss_diverged(
    driver: Callable[..., FakeDriver],
) -> None:
    one = driver()
    nodes = one.trials.generations["seal-t01", 0]
    one.failed = {nodes[1].key: Reason.DIVERGED, nodes[2].key: Reason.DEPENDENCY}
    one.all(one.schedule())
    assert one.trials.kept(one.values) == ["seal-t03"]
    assert one.trials.excused(one.plan, one.failed, one.values) == set(one.failed)
    for reason in (Reason.USER_ERROR, Reason.WORKER_LOST, Reason.OOM):
        one.failed[nodes[1].key] = reason
        assert one.trials.excused(one.plan, one.failed, one.values) == set()


def test_when_all_trials_fail_nothing_is_excused(driver: Callable[..., FakeDriver]) -> None:
    one = driver()
    one.failed = {one.trials.generations[trial, 0][1].key: Reason.DIVERGED for trial in one.trials.distinct}
    assert one.schedule().over
    assert one.trials.excused(one.plan, one.failed, {}) == set()


def test_scores_that_are_not_finite_are_the_worst(driver: Callable[..., FakeDriver]) -> None:
    one = driver()
    schedule = one.schedule()
    one.score = lambda trial: -1e9
    first = schedule.next()
    assert first is not None
    one.run(first)
    one.values[one.trials.objectives["seal-t00", 0][1].key] = None
    schedule.ended(first)
    one.all(schedule)
    assert ("seal-t00", 0, 2) not in one.trained


def test_nodes_that_only_losing_trials_need_are_unwanted(driver: Callable[..., FakeDriver]) -> None:
    one = driver(evaluations=[{"evaluator": {"name": "prediction-depth"}, "on": ["every"]}])
    one.all(one.schedule())
    unwanted = one.trials.unwanted(one.plan, one.values)
    by_use = {(use.arm, use.generation): use.key for use in one.plan.uses if use.kind == "generation"}
    assert by_use["seal-t00", 0] not in unwanted  # the winner needs it too
    assert {by_use["seal-t00", 1], by_use["seal-t00", 2], by_use["seal-t03", 2]} <= unwanted
    assert unwanted.isdisjoint({use.key for use in one.plan.uses if use.arm in ("normal", "seal-t01")})
    depth = [
        node
        for key, node in one.plan.nodes.items()
        if key in unwanted and (node.evaluator or {}).get("name") == "prediction-depth"
    ]
    assert {(node.arm, node.generation) for node in depth} == {
        (trial, generation) for trial in ("seal-t00", "seal-t02", "seal-t03") for generation in (1, 2)
    }
