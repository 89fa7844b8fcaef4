"""The failures of an experiment: the first one of every arm, in one sentence each."""

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.printable import printable
from orchestrator.states import NodeState
from orchestrator.store.records import NodeUse, StoredNode

SENTENCE = 400
"""The largest length of a sentence, in characters."""
_TRACEBACK = "Traceback (most recent call last)"


def failures(uses: Iterable[NodeUse], nodes: Mapping[str, StoredNode]) -> list[dict[str, Any]]:
    """Returns the first failure of every arm as JSON: its place, its reason, and a message of one line.

    `nodes` counts the arm's nodes that failed or were skipped. Skipped nodes give no message of their own, because a
    failed node is the cause.
    """
    found: dict[str, dict[str, Any]] = {}
    counted: dict[str, set[str]] = {}
    for use in uses:
        if use.state in (NodeState.FAILED, NodeState.SKIPPED):
            counted.setdefault(use.arm, set()).add(use.key)
        node = nodes.get(use.key)
        if use.state == NodeState.FAILED and node is not None and use.arm not in found:
            found[use.arm] = {
                "arm": use.arm,
                "seed": use.seed,
                "generation": use.generation,
                "kind": use.kind,
                "reason": node.reason,
                "message": sentence(node.message or f"no message was recorded ({node.reason})"),
            }
    return [failure | {"nodes": len(counted[arm])} for arm, failure in found.items()]


def sentence(message: str) -> str:
    """Returns the message as one line without terminal codes; of a traceback, only the innermost error remains."""
    text = printable(message)
    if _TRACEBACK in text:
        text = next((line for line in reversed(text.splitlines()) if line and not line[0].isspace()), text)
    text = " ".join(text.split())
    return text if len(text) <= SENTENCE else text[: SENTENCE - 3] + "..."
