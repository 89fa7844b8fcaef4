"""The disk space that a plan's checkpoints take, computed from the tensors that each of them holds."""

from collections.abc import Collection
from functools import cache
from typing import Any

from torch import nn

from orchestrator.estimate.workload import Workload
from orchestrator.plan import Node, Plan
from orchestrator.spec import ExperimentSpec
from trainer.core import models
from trainer.core.models import AnyModel
from trainer.methods.base import NetworkBytes
from trainer.run import KEPT


@cache
def network_bytes(model: AnyModel, classes: int, precision: str) -> NetworkBytes:
    """Returns the sizes of the tensors of `model`, which has fp64 parameters if `precision` is fp64 and else fp32."""
    network = models.skeleton(model, classes)
    size = 8 if precision == "fp64" else 4
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    buffers = sum(
        each.numel() * (size if each.is_floating_point() else each.element_size()) for each in network.buffers()
    )
    return NetworkBytes(
        size * sum(each.numel() for each in network.parameters()), buffers, sum(each.numel() for each in weights)
    )


class Storage:
    """The sizes of an experiment's checkpoints: committed ones, and unfinished ones from within a generation."""

    def __init__(self, spec: ExperimentSpec, workload: Workload) -> None:
        self._spec, self._workload = spec, workload

    def committed(self, node: Node) -> int | None:
        """Returns the bytes of the checkpoint after a generation, or None if the number of classes is unknown."""
        if (network := self._network(node)) is None:
            return None
        if node.kind == "checkpoint":  # imported weights have no momentum and no state of a method
            return network.parameters + network.buffers
        train = self._spec.train_of(self._workload.arm(node.arm))
        momentum = 0 if "generation" in train.reset_momentum_at else network.parameters
        return network.parameters + network.buffers + momentum + self._method_bytes(node, network)

    def unfinished(self, node: Node) -> int | None:
        """Returns the bytes of a checkpoint within the generation, or None if the number of classes is unknown.

        It also holds the momentum and, if the method has one, the teacher.
        """
        if (network := self._network(node)) is None:
            return None
        method = self._workload.arm(node.arm).method
        taught = method is not None and method.taught(node.generation)
        teacher = network.parameters + network.buffers if taught else 0
        return 2 * network.parameters + network.buffers + self._method_bytes(node, network) + teacher

    def answer(self, plan: Plan, todo: Collection[str], training_slots: int) -> dict[str, Any]:
        """Returns the `storage` field of the API's answer.

        `todo` has the keys of the nodes that are to be made, of which `training_slots` generations are trained at a
        time.
        """
        nodes = [plan.nodes[key] for key in todo if plan.nodes[key].kind != "evaluation"]
        sizes = [self.committed(node) for node in nodes]
        unfinished_sizes = [self.unfinished(node) for node in nodes if node.kind == "generation"]
        unknown = sum(each is None for each in sizes)
        kept = sum(filter(None, sizes))
        slots_in_use = min(training_slots, len(unfinished_sizes))
        working = slots_in_use * (KEPT + 1) * max(filter(None, unfinished_sizes), default=0)
        smallest = "" if len(set(sizes)) <= 1 else f" of at least {min(filter(None, sizes), default=0):,} bytes"
        sentences = [
            f"{len(nodes)} checkpoints{smallest} are kept as artifacts: parameters and buffers, the state of the "
            "method, and momentum only if it is not reset between generations",
            f"until the experiment ends, their working copies and {KEPT + 1} unfinished ones for each of "
            f"{training_slots} training slots are on the shared storage; layer outputs that evaluators share "
            "(RELEARN_FEATURES_GB) are not included",
        ]
        if unknown:
            sentences.append(f"{unknown} of them are not counted: the number of classes of their data is unknown")
        return {
            "checkpoints": len(nodes),
            "checkpoint_bytes": max(filter(None, sizes), default=0),
            "kept_bytes": kept,
            "peak_bytes": 2 * kept + working,
            "partial": unknown > 0,
            "basis": "; ".join(sentences),
        }

    def _network(self, node: Node) -> NetworkBytes | None:
        sizes, arm = self._workload.data_sizes(node.arm), self._workload.arm(node.arm)
        if sizes is None:
            return None
        return network_bytes(self._spec.model_of(arm), sizes.classes, self._spec.train_of(arm).precision)

    def _method_bytes(self, node: Node, network: NetworkBytes) -> int:
        """Returns the bytes of what the arm's method stores in `TrainState.memory`."""
        method = self._workload.arm(node.arm).method
        return 0 if method is None else method.stored_bytes(node.generation, network)
