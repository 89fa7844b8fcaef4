"""Objects for tests: a small spec, a clock, an executor that runs nothing, and finished experiments."""

import copy
import hashlib
from dataclasses import dataclass, field
from typing import Any

from orchestrator import plan as planning
from orchestrator.cluster.jobs import JobState
from orchestrator.intake.check import check
from orchestrator.plan import Node, Plan
from orchestrator.states import ExperimentState
from orchestrator.store import Claim, Store

SMALL: dict[str, Any] = {
    "name": "small",
    "data": {"name": "digits-noisy", "train_per_class": 4},
    "model": {"name": "resnet-digits", "width": 4},
    "train": {"generations": 2, "epochs": 3, "batch_size": 16},
    "arms": [{"name": "normal", "method": {"name": "normal"}}, {"name": "seal", "method": {"name": "seal"}}],
    "evaluations": [{"evaluator": {"name": "accuracy"}, "on": ["last"]}],
}
"""A spec whose arms share generation 0. Generation 1 and its accuracy exist once per arm."""


def small(**changes: Any) -> dict[str, Any]:
    """Returns a copy of SMALL with `changes`."""
    return copy.deepcopy(SMALL) | changes


def planned(raw: dict[str, Any]) -> Plan:
    """Returns the plan of the spec `raw`."""
    return planning.plan(check(raw))


def resolved(raw: dict[str, Any]) -> dict[str, Any]:
    """Returns the spec `raw` after its checks, as the store keeps it."""
    document: dict[str, Any] = check(raw).model_dump(mode="json")
    return document


def submitted(store: Store, raw: dict[str, Any] | None = None) -> str:
    """Submits an experiment (default: SMALL), and returns its id."""
    raw = small() if raw is None else raw
    return store.submit(raw["name"], resolved(raw), planned(raw))[0]


def node(plan: Plan, arm: str, generation: int, kind: str = "generation", seed: int = 0) -> Node:
    """Returns the node that `arm` uses for `seed` and `generation`."""
    (found,) = (
        use.key for use in plan.uses if (use.arm, use.seed, use.generation, use.kind) == (arm, seed, generation, kind)
    )
    return plan.nodes[found]


def epoch_row(key: str, epoch: int, generation: int = 0, at: float = 0.0, **more: Any) -> dict[str, Any]:
    """Returns an epoch's row in the form that the store accepts, without metrics by default."""
    row = {
        "key": key,
        "generation": generation,
        "epoch": epoch,
        "phase": "learning",
        "at": at,
        "warnings": [],
        "metrics": {},
    }
    return row | more


def claimed(store: Store, key: str, experiment: str) -> Claim:
    """Claims a node, which must succeed."""
    claim = store.claim(key, experiment)
    assert claim is not None
    return claim


@dataclass
class Clock:
    """A clock whose time, in seconds, only changes when a test sets it."""

    at: float = 1_000_000.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Jobs:
    """An executor that runs nothing.

    Jobs run until a test ends them. The executor can be unreachable, and it can forget all jobs.
    """

    states: dict[tuple[str, int], JobState] = field(default_factory=dict)
    submitted: list[tuple[str, int]] = field(default_factory=list)
    stopped: list[tuple[str, int]] = field(default_factory=list)
    reachable: bool = True
    accepts: bool = True
    """Whether submissions arrive at the executor."""

    def submit(self, experiment: str, name: str, attempt: int) -> None:
        self._answer()
        if not self.accepts:
            raise ConnectionError("the connection broke while the job was submitted")
        if (experiment, attempt) not in self.states:
            self.states[experiment, attempt] = "RUNNING"
            self.submitted.append((experiment, attempt))

    def state(self, experiment: str, attempt: int) -> JobState:
        self._answer()
        return self.states.get((experiment, attempt), "UNKNOWN")

    def why(self, experiment: str, attempt: int) -> str:
        self._answer()
        assert self.states[experiment, attempt] == "ENDED"
        return "FAILED: the driver was killed"

    def stop(self, experiment: str, attempt: int) -> None:
        """Records that the job was asked to stop. As with Ray, it does not end at once."""
        self._answer()
        self.stopped.append((experiment, attempt))

    def end(self, experiment: str, attempt: int) -> None:
        self.states[experiment, attempt] = "ENDED"

    def forget(self) -> None:
        """Forgets all jobs, as a restarted head does."""
        self.states.clear()

    def _answer(self) -> None:
        if not self.reachable:
            raise ConnectionError("no answer from http://127.0.0.1:8265")


CPU = {"torch": "2.13.0", "device": "cpu", "threads": 1, "onednn": True}
DETAILS = {"evaluator": "accuracy", "version": 2, "settings": {"batch_size": 64}, "source": "digits-noisy#aa"}
DETAILS |= {"target": "digits-noisy#aa", "digests": {"5shot": "ee"}, "notes": [], "fingerprint": CPU}


def finished(store: Store, raw: dict[str, Any] | None = None, **top1: float) -> str:
    """Submits an experiment, finishes it (see `do`), and returns its id."""
    raw = raw or small()
    experiment = submitted(store, raw)
    store.start_attempt(experiment, ExperimentState.RUNNING)
    do(store, experiment, raw, **top1)
    return experiment


def do(store: Store, experiment: str, raw: dict[str, Any], **top1: float) -> None:
    """Finishes all nodes that are not done, and ends the experiment with success.

    The digest of a generation's weights is computed from its title. The score is 0.75, or `top1` of the arm if it is
    given.
    """
    for each in planned(raw).nodes.values():
        if (claim := store.claim(each.key, experiment)) is None:
            continue
        by = f"{experiment}/{each.title}"
        if each.kind == "generation":
            store.add_epochs([epoch_row(each.key, 2, each.generation, metrics={"test/accuracy": 0.5})])
            digest = hashlib.sha256(each.title.encode()).hexdigest()
            store.finish_generation(claim, by, "mlflow://a", digest, CPU)
        else:
            value = top1.get(each.arm, 0.75)
            scores = {"top1": {"value": value, "low": value - 0.02, "high": value + 0.02, "n": 896}}
            store.finish_evaluation(claim, by, "accuracy", "digits-noisy", scores, {}, DETAILS)
    store.set_published(experiment)  # so that the supervisor does not call the tracking server
    assert store.move(experiment, ExperimentState.SUCCEEDED)
