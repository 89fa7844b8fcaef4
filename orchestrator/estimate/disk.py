"""What a plan's checkpoints take on disk, counted from the tensors that each of them holds."""

from collections.abc import Collection
from functools import cache
from typing import Any

from torch import nn

from orchestrator.estimate.workload import Work
from orchestrator.plan import Node, Plan
from orchestrator.spec import ExperimentSpec
from trainer.core import models
from trainer.core.models import AnyModel
from trainer.methods.base import NetworkBytes
from trainer.run import KEPT


@cache
def held(model: AnyModel, classes: int, precision: str) -> NetworkBytes:
    """Of `model` as it is trained: fp32, or fp64 where that is the precision."""
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
    """Sizes of an experiment's checkpoints: committed ones, and those in the middle of a generation."""

    def __init__(self, spec: ExperimentSpec, work: Work) -> None:
        self._spec, self._work = spec, work

    def committed(self, node: Node) -> int | None:
        """Bytes of the checkpoint that a generation ends with; None where the number of classes is not known."""
        if (network := self._held(node)) is None:
            return None
        momentum = (
            0 if "generation" in self._spec.train_of(self._work.arm(node.arm)).reset_momentum_at else network.parameters
        )
        brought_in = node.kind == "checkpoint"
        return network.parameters + network.buffers + (0 if brought_in else momentum + self._memory(node, network))

    def unfinished(self, node: Node) -> int | None:
        """Bytes of one in the middle of the generation: with the momentum and, where the method has one, the teacher."""
        if (network := self._held(node)) is None:
            return None
        method = self._work.arm(node.arm).method
        taught = method is not None and method.taught(node.generation)
        teacher = network.parameters + network.buffers if taught else 0
        return 2 * network.parameters + network.buffers + self._memory(node, network) + teacher

    def answer(self, plan: Plan, todo: Collection[str], lanes: int) -> dict[str, Any]:
        """What `todo` keeps for good and needs at most, where `lanes` generations are trained at a time."""
        nodes = [plan.nodes[key] for key in todo if plan.nodes[key].kind != "evaluation"]
        sizes = [self.committed(node) for node in nodes]
        open_sizes = [self.unfinished(node) for node in nodes if node.kind == "generation"]
        unknown = sum(each is None for each in sizes)
        kept = sum(filter(None, sizes))
        working = min(lanes, len(open_sizes)) * (KEPT + 1) * max(filter(None, open_sizes), default=0)
        several = "" if len(set(sizes)) <= 1 else f" of {min(filter(None, sizes), default=0):,} bytes and more"
        sentences = [
            f"{len(nodes)} checkpoints{several} stay as artifacts: parameters and buffers, what the method remembers, and "
            "momentum only where it is not reset between generations",
            f"until the experiment ends, their working copies and {KEPT + 1} unfinished ones for each of {lanes} lanes lie on "
            "the shared storage; layer outputs that evaluators share (RELEARN_FEATURES_GB) come on top",
        ]
        if unknown:
            sentences.append(f"{unknown} of them are not counted: nobody knows how many classes their data has")
        return {
            "checkpoints": len(nodes),
            "checkpoint_bytes": max(filter(None, sizes), default=0),
            "kept_bytes": kept,
            "peak_bytes": 2 * kept + working,
            "partial": unknown > 0,
            "basis": "; ".join(sentences),
        }

    def _held(self, node: Node) -> NetworkBytes | None:
        size, arm = self._work.extents(node.arm), self._work.arm(node.arm)
        if size is None:
            return None
        return held(self._spec.model_of(arm), size.classes, self._spec.train_of(arm).precision)

    def _memory(self, node: Node, network: NetworkBytes) -> int:
        """Bytes of what the method has put into `TrainState.memory`."""
        method = self._work.arm(node.arm).method
        return 0 if method is None else method.stored_bytes(node.generation, network)
