"""What came out of an experiment."""

from orchestrator.results.progress import summary, view
from orchestrator.results.rows import result_rows

__all__ = ["result_rows", "summary", "view"]
