"""How long a plan takes by the clock, from how long each node takes: with workers without end, and with so many lanes.

As the driver works: all training first, chain by chain, each on one lane; then the evaluations, each by itself.
"""

import heapq
from collections import deque
from collections.abc import Collection, Mapping

from orchestrator.plan import Plan, segments


def critical_path(plan: Plan, todo: Collection[str], seconds: Mapping[str, float]) -> float:
    """Seconds until everything in `todo` is done where nothing waits for a worker: the longest chain, the longest judgement."""
    done_at: dict[str | None, float] = {}
    judged = 0.0
    for key, node in plan.nodes.items():
        if key in todo and node.kind == "evaluation":
            judged = max(judged, seconds[key])
        elif key in todo:
            done_at[key] = done_at.get(node.parent, 0.0) + seconds[key]
    return max(done_at.values(), default=0.0) + judged


def with_lanes(plan: Plan, todo: Collection[str], seconds: Mapping[str, float], lanes: int, slots: int) -> float:
    """The same where `lanes` chains are trained at a time and `slots` evaluations run at a time, first come, first served."""
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
        while ready and len(running) < lanes:
            key = ready.popleft()
            heapq.heappush(running, (now + length[key], key))
        now, key = heapq.heappop(running)
        ready += following.get(key, [])
    free = [0.0] * slots
    for key, node in plan.nodes.items():
        if node.kind == "evaluation" and key in todo:
            heapq.heapreplace(free, free[0] + seconds[key])
    return now + max(free)
