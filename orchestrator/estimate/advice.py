"""What a researcher should know before starting a plan; only what is true of it and can still be changed."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.plan.capacity import worker_capacity
from orchestrator.problems import Problem
from orchestrator.spec import ExperimentSpec

LONG_H = 72.0
"""Hours from which on a run is called long."""


@dataclass(frozen=True)
class Caution:
    """A stable code, the JSON pointer of what it is about, and a sentence."""

    code: str
    pointer: str
    message: str

    def as_json(self) -> dict[str, str]:
        return vars(self)


def missing_data(problems: Collection[Problem]) -> Iterator[Caution]:
    """What has to be prepared before the experiment is posted; each once."""
    for problem in {each.message: each for each in problems}.values():
        yield Caution("NOT_PREPARED", problem.pointer, problem.message)


def of_spec(spec: ExperimentSpec) -> Iterator[Caution]:
    """What the spec alone says."""
    trained = [arm for arm in spec.arms if arm.method is not None]
    if len(spec.seeds) == 1 and trained:
        message = "one seed: no interval over seeds, so luck and a difference between arms cannot be told apart"
        yield Caution("SINGLE_SEED", "/seeds", message)
    for index, evaluation in enumerate(spec.evaluations):
        for code, message in evaluation.evaluator.caveats():
            yield Caution(code, f"/evaluations/{index}", message)
    if spec.search is not None and spec.search.objective.on == "test":
        message = "the search chooses settings on the test images: what it finds looks better than it is"
        yield Caution("TEST_SELECTED", "/search/objective/on", message)
    if spec.search is not None and spec.search.early_stop is not None:
        message = "trials that are given up early cost less: every trial is counted to its last generation"
        yield Caution("SEARCH", "/search/early_stop", message)
    for precision in ("bf16", "tf32"):
        if any(spec.train_of(arm).precision == precision for arm in trained):
            yield Caution("PRECISION", "/train/precision", f"{precision} deviates from the paper's fp32")
    if any(spec.train_of(arm).precision == "tf32" for arm in trained) and spec.resources.gpus == 0:
        yield Caution("PRECISION", "/train/precision", "tf32 means fp32 on a CPU, under another key: use fp32")
    if partial := sorted({data.label for arm in spec.arms if getattr(data := spec.data_of(arm), "partial", False)}):
        yield Caution(
            "PARTIAL_DATA", "/data", f"images are missing from {', '.join(partial)}: results are not the paper's"
        )


def of_cluster(spec: ExperimentSpec, nodes: Collection[Mapping[str, float]] | None) -> Iterator[Caution]:
    """What the cluster's nodes (their `CPU` and `GPU`) say; None is a cluster that does not answer."""
    if nodes is None:
        yield Caution(
            "CLUSTER_AWAY", "/resources", "the Ray cluster does not answer, so nobody knows how many lanes it has"
        )
        return
    gpus = sum(node.get("GPU", 0) for node in nodes)
    wanted = spec.resources
    if wanted.gpus > 0 and gpus == 0:
        yield Caution("NO_GPU", "/resources/gpus", f"{wanted.gpus:g} GPUs are asked for and the cluster has none")
    elif worker_capacity(nodes, wanted) < wanted.workers:
        need = f"{wanted.workers} workers of {wanted.cpus} CPUs and {wanted.gpus:g} GPUs"
        yield Caution("NO_CAPACITY", "/resources", f"the cluster has no room for {need}: the experiment would fail")
    elif wanted.gpus == 0 and gpus > 0:
        yield Caution("UNUSED_GPU", "/resources/gpus", f"the cluster has {gpus:g} GPUs and none is asked for")


def of_answer(answer: Mapping[str, Any], free_bytes: int | None) -> Iterator[Caution]:
    """What the rest of the answer says: very long runs, and a disk that is too small."""
    for name, text in (("critical_path", "even with workers without end"), ("lanes", "with the cluster's lanes")):
        hours = answer["quote"]["wall_hours"][name]
        if hours is not None and (hours["p50"] or 0) > LONG_H:
            yield Caution("LONG_RUN", "", f"{text} it takes {hours['p50'] / 24:.1f} days")
            break
    peak = answer["storage"]["peak_bytes"]
    if free_bytes is not None and peak > free_bytes:
        message = f"up to {peak / 1e9:.1f} GB are needed and {free_bytes / 1e9:.1f} GB are free where the service keeps things"
        yield Caution("STORAGE", "", message)
