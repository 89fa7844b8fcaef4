"""Ordinary training, generation after generation (SEAL paper section 4.1, "Normal" and "Normal (long)")."""

from typing import Literal

from trainer.methods.base import Method


class Normal(Method):
    """Nothing is forgotten; only the optimizer and the learning-rate schedule start afresh each generation."""

    name: Literal["normal"] = "normal"
