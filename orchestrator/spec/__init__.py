"""The spec of an experiment as a researcher posts it, with its search and its tables."""

from orchestrator.spec.base import SpecModel
from orchestrator.spec.experiment import (
    MAX_ARMS,
    MAX_EVALUATIONS,
    MAX_NAME,
    Arm,
    Checkpoint,
    Committed,
    Evaluation,
    ExperimentSpec,
    Fork,
    Resources,
    Weights,
    last_generation,
)
from orchestrator.spec.search import Distribution, EarlyStop, Ladder, Objective, Search, ladder
from orchestrator.spec.tables import Axis, Cell, Published, ReportTable

__all__ = [
    "MAX_ARMS",
    "MAX_EVALUATIONS",
    "MAX_NAME",
    "Arm",
    "Axis",
    "Cell",
    "Checkpoint",
    "Committed",
    "Distribution",
    "EarlyStop",
    "Evaluation",
    "ExperimentSpec",
    "Fork",
    "Ladder",
    "Objective",
    "Published",
    "ReportTable",
    "Resources",
    "Search",
    "SpecModel",
    "Weights",
    "ladder",
    "last_generation",
]
