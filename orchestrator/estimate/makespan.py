"""The elapsed time of a plan, computed from the duration of each node.

It follows the order of the driver: first all training, where each segment takes one training slot, and then the
evaluations, each by itself.
"""

import heapq
from collections import deque
from collections.abc import Collection, Mapping

from orchestrator.plan import Plan, segments


def critical_path(plan: Plan, todo: Collection[str], seconds: Mapping[str, float]) -> float:
    """Returns the seconds until all of `todo` is done if no work ever waits for a worker.

    They are the longest chain of generations and after it the longest evaluation. `seconds` has the duration of each
    node by key.
    """
    done_at: dict[str | None, float] = {}
    longest_evaluation = 0.0
    for key, node in plan.nodes.items():
        if key in todo and node.kind == "evaluation":
            longest_evaluation = max(longest_evaluation, seconds[key])
        elif key in todo:
            done_at[key] = done_at.get(node.parent, 0.0) + seconds[key]
    return max(done_at.values(), default=0.0) + longest_evaluation


def makespan(
    plan: Plan, todo: Collection[str], seconds: Mapping[str, float], training_slots: int, evaluation_slots: int
) -> float:
    """Returns the seconds until all of `todo` is done on a cluster of limited size, first come, first served.

    `training_slots` segments are trained at a time, and then `evaluation_slots` evaluations run at a time. `seconds`
    has the duration of each node by key.
    """
    chains = segments(plan, todo)
    length = {chain.key: sum(seconds[node.key] for node in chain.nodes) for chain in chains}
    following: dict[str | None, list[str]] = {}
    for chain in chains:
        parent = chain.parent if chain.parent in length else None
        following.setdefault(parent, []).append(chain.key)
    ready = deque(following.get(None, []))
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < training_slots:
            key = ready.popleft()
            heapq.heappush(running, (now + length[key], key))
        now, key = heapq.heappop(running)
        ready += following.get(key, [])
    free_at = [0.0] * evaluation_slots
    for key, node in plan.nodes.items():
        if node.kind == "evaluation" and key in todo:
            heapq.heapreplace(free_at, free_at[0] + seconds[key])
    return now + max(free_at)
