"""A fake cluster, answers of POST /experiments/plan, and experiments that are already done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator import intake
from orchestrator.estimate.forecast import forecast
from orchestrator.estimate.timing_runs import TimingRequest
from orchestrator.problems import Problem
from orchestrator.spec import Resources
from orchestrator.states import ExperimentState
from orchestrator.store import Store
from tests.orchestrator.builders import claimed, planned, submitted

ARMS: list[dict[str, Any]] = [{"name": name, "method": {"name": name}} for name in ("normal", "llf", "seal")]


@dataclass
class Cluster:
    """A cluster with the given nodes, on which steps take `step_s` seconds; `why` is the reason if nothing is timed."""

    store: Store
    resources: Sequence[dict[str, float]] | None = ({"CPU": 2.0},)
    step_s: tuple[float, ...] = (0.1,) * 9
    why: str | None = None
    requests: list[TimingRequest] = field(default_factory=list)

    def nodes(self) -> list[dict[str, float]] | None:
        return None if self.resources is None else list(self.resources)

    def time(self, asked: list[TimingRequest], resources: Resources) -> str | None:
        self.requests += asked
        for request in asked:
            if self.why is None:
                content = {"step_s": self.step_s, "judged_image_s": 0.001, "machine": "AVX512"}
                self.store.add_timing(request.key, content)
        return self.why


def answer(store: Store, raw: dict[str, Any], cluster: Cluster | None = None, **options: Any) -> dict[str, Any]:
    """Returns the answer for a spec as it is posted."""
    missing: list[Problem] = []
    spec = intake.read_spec(raw, store, missing=missing)
    return forecast(spec, missing, store, cluster or Cluster(store), **options)


def finish(store: Store, raw: dict[str, Any], *, without: Sequence[str] = ()) -> str:
    """Returns the id of a running experiment that has done all its nodes except those titled in `without`."""
    identity = submitted(store, raw)
    store.start_attempt(identity, ExperimentState.RUNNING)
    for key, each in planned(raw).nodes.items():
        if each.title in without:
            continue
        claim = claimed(store, key, identity)
        if each.kind == "generation":
            store.finish_generation(claim, f"{identity}/{each.title}", f"mlflow:/{key}", "0" * 64)
        else:
            store.finish_evaluation(claim, f"{identity}/{each.title}", "accuracy", "digits-noisy", {}, {}, None)
    return identity


def codes(found: dict[str, Any]) -> list[str]:
    """Returns the codes of the warnings of an answer."""
    return [warning["code"] for warning in found["warnings"]]
