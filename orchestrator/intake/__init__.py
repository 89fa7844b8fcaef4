"""From raw JSON to a resolved spec."""

from orchestrator.intake.read import read_spec

__all__ = ["read_spec"]
