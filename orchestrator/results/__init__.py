"""The results of an experiment: its progress, its scores, and the capsules that repeat it."""

from orchestrator.results.progress import summary, view
from orchestrator.results.rows import result_rows

__all__ = ["result_rows", "summary", "view"]
