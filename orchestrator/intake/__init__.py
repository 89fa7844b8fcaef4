"""Reads raw JSON into a resolved experiment spec."""

from orchestrator.intake.read import read_spec

__all__ = ["read_spec"]
