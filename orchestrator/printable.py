"""Makes text of users and of other programs safe to print: a terminal obeys what is not printable."""

import re

_CODES = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]")
"""Escape sequences of ECMA-48: operating system commands, control sequences, and the short ones."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that change the direction of the text after them. Tabs and line breaks stay."""


def printable(text: str) -> str:
    """Returns the text without escape sequences, control characters and marks of direction."""
    return _CONTROL.sub("", _CODES.sub("", text))
