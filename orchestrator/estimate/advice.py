"""The warnings of a plan: facts that a researcher should know before starting an experiment and can still change."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.plan.capacity import worker_capacity
from orchestrator.problems import Problem
from orchestrator.spec import ExperimentSpec

LONG_RUN_H = 72.0
"""A run that is expected to take more hours than this is reported as long."""


@dataclass(frozen=True)
class Advice:
    """One warning: a stable code, the JSON pointer of the part of the spec that it is about, and a sentence."""

    code: str
    pointer: str
    message: str

    def as_json(self) -> dict[str, str]:
        """Returns the warning as it is in the API's answer."""
        return vars(self)


def missing_data_advice(problems: Collection[Problem]) -> Iterator[Advice]:
    """Yields one warning for each data set that must be prepared before the experiment is posted."""
    for problem in {each.message: each for each in problems}.values():
        yield Advice("NOT_PREPARED", problem.pointer, problem.message)


def spec_advice(spec: ExperimentSpec) -> Iterator[Advice]:
    """Yields the warnings that follow from the spec alone."""
    trained = [arm for arm in spec.arms if arm.method is not None]
    if len(spec.seeds) == 1 and trained:
        message = "with one seed there is no interval over seeds, so a difference between arms may be chance"
        yield Advice("SINGLE_SEED", "/seeds", message)
    for index, evaluation in enumerate(spec.evaluations):
        for code, message in evaluation.evaluator.caveats():
            yield Advice(code, f"/evaluations/{index}", message)
    if spec.search is not None and spec.search.objective.on == "test":
        message = "the search selects settings on the test images, so the scores of its best trials are biased upwards"
        yield Advice("TEST_SELECTED", "/search/objective/on", message)
    if spec.search is not None and spec.search.early_stop is not None:
        message = "every trial is counted up to its last generation; trials that are stopped early cost less"
        yield Advice("SEARCH", "/search/early_stop", message)
    for precision in ("bf16", "tf32"):
        if any(spec.train_of(arm).precision == precision for arm in trained):
            yield Advice("PRECISION", "/train/precision", f"{precision} deviates from the paper's fp32")
    if any(spec.train_of(arm).precision == "tf32" for arm in trained) and spec.resources.gpus == 0:
        message = "on a CPU, tf32 computes in fp32 but has other content keys: use fp32"
        yield Advice("PRECISION", "/train/precision", message)
    if partial := sorted({data.label for arm in spec.arms if getattr(data := spec.data_of(arm), "partial", False)}):
        message = f"images are missing from {', '.join(partial)}, so results are not comparable with the paper's"
        yield Advice("PARTIAL_DATA", "/data", message)


def cluster_advice(spec: ExperimentSpec, nodes: Collection[Mapping[str, float]] | None) -> Iterator[Advice]:
    """Yields the warnings that follow from the cluster's capacity.

    `nodes` has the `CPU` and `GPU` of each node, or is None if the cluster does not answer.
    """
    if nodes is None:
        message = "the Ray cluster does not answer, so the number of its training slots is unknown"
        yield Advice("CLUSTER_AWAY", "/resources", message)
        return
    gpus = sum(node.get("GPU", 0) for node in nodes)
    wanted = spec.resources
    if wanted.gpus > 0 and gpus == 0:
        message = f"the spec requests {wanted.gpus:g} GPUs per worker and the cluster has none"
        yield Advice("NO_GPU", "/resources/gpus", message)
    elif worker_capacity(nodes, wanted) < wanted.workers:
        need = f"{wanted.workers} workers of {wanted.cpus} CPUs and {wanted.gpus:g} GPUs"
        message = f"the cluster has no capacity for {need}, so the experiment would fail"
        yield Advice("NO_CAPACITY", "/resources", message)
    elif wanted.gpus == 0 and gpus > 0:
        message = f"the cluster has {gpus:g} GPUs and the spec requests none"
        yield Advice("UNUSED_GPU", "/resources/gpus", message)


def answer_advice(answer: Mapping[str, Any], free_bytes: int | None) -> Iterator[Advice]:
    """Yields the warnings that follow from the other fields of the answer: a very long run, and too little disk space.

    `free_bytes` is the free space of the service's storage, or None if it is unknown.
    """
    for name, condition in (
        ("critical_path", "even with unlimited workers"),
        ("lanes", "with the cluster's training slots"),
    ):
        hours = answer["quote"]["wall_hours"][name]
        if hours is not None and (hours["p50"] or 0) > LONG_RUN_H:
            yield Advice("LONG_RUN", "", f"{condition} it takes {hours['p50'] / 24:.1f} days")
            break
    peak = answer["storage"]["peak_bytes"]
    if free_bytes is not None and peak > free_bytes:
        message = (
            f"up to {peak / 1e9:.1f} GB are needed and {free_bytes / 1e9:.1f} GB are free in the service's storage"
        )
        yield Advice("STORAGE", "", message)
