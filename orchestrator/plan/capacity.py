"""How many workers of an experiment's resources fit on a cluster."""

from collections.abc import Collection, Mapping

from orchestrator.spec import Resources


def worker_capacity(nodes: Collection[Mapping[str, float]], resources: Resources) -> int:
    """How many workers of `resources` fit on the nodes of a cluster, each given as its `CPU` and `GPU`."""
    slots = 0
    for node in nodes:
        cpus = int(node.get("CPU", 0) // resources.cpus)
        gpus = int(node.get("GPU", 0) / resources.gpus + 1e-9) if resources.gpus else cpus
        slots += min(cpus, gpus)
    return slots
