"""The number of workers that fit on a cluster."""

from collections.abc import Collection, Mapping

from orchestrator.spec import Resources


def worker_capacity(nodes: Collection[Mapping[str, float]], resources: Resources) -> int:
    """Returns how many workers of `resources` fit on `nodes`, which have a number of `CPU` and `GPU` each."""
    workers = 0
    for node in nodes:
        cpus = int(node.get("CPU", 0) // resources.cpus)
        gpus = int(node.get("GPU", 0) / resources.gpus + 1e-9) if resources.gpus else cpus
        workers += min(cpus, gpus)
    return workers
