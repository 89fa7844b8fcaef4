"""The plan of an experiment: a graph of content-keyed nodes, computed from the spec alone (architecture section 7)."""

from orchestrator.plan.graph import Kind, Node, Plan, Segment, Use, segments
from orchestrator.plan.keys import GENERATION_VERSION, digest, plan

__all__ = ["GENERATION_VERSION", "Kind", "Node", "Plan", "Segment", "Use", "digest", "plan", "segments"]
