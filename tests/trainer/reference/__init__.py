"""Compares the trainer with plain loops that are written from the protocols alone."""

from tests.trainer.reference.compare import CASES, Error, case_label, error, trained
from tests.trainer.reference.loop import DECAY, Outcome, Reference

__all__ = ["CASES", "DECAY", "Error", "Outcome", "Reference", "case_label", "error", "trained"]
