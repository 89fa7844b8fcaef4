"""Makes up the names of the arms that a grid or a search expands into: readable, all different, and not too long."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.spec import MAX_NAME

_DIGEST = 8
"""How many hexadecimal digits tell arms apart whose names would be too long or equal."""


def of_combinations(base: str, combinations: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the names of the arms that a grid makes of the arm `base`, one for each combination of values.

    A name that would be too long has shorter words (`seal-asc_sca-0.001`). If that is still too long, or if two
    combinations would have one name, the name ends in a digest of the combination. If `base` itself is too long for a
    name, nothing is shortened, because that is a mistake of its own.
    """
    if len(base) > MAX_NAME:
        return [written_out(base, values) for values in combinations]
    names = [_short_if_needed(base, values) for values in combinations]
    seen = Counter(names)
    return [
        name if len(name) <= MAX_NAME and seen[name] == 1 else _ending(name, f"-{_digest(values)}")
        for name, values in zip(names, combinations, strict=True)
    ]


def of_trial(base: str, number: int, width: int) -> str:
    """Returns the name of a search's trial of the arm `base`, its number written with `width` digits."""
    name, suffix = base, f"-t{number:0{width}}"
    if MAX_NAME - len(suffix) < len(base) <= MAX_NAME:
        name = _ending(base, f"-{_digest(base)}", len(suffix))
    return name + suffix


def written_out(base: str, values: dict[str, Any], word: Callable[[str], str] = str) -> str:
    """Returns the name of a combination with every value and the last part of every field, as `word` writes it."""
    return base + "".join(f"-{word(field.split('.')[-1])}-{_text(value)}" for field, value in values.items())


def _short_if_needed(base: str, values: dict[str, Any]) -> str:
    name = written_out(base, values)
    return name if len(name) <= MAX_NAME else written_out(base, values, _short)


def _short(field: str) -> str:
    """Returns the field with three letters of every word, such as `asc_sca` for `ascent_scale`."""
    return "_".join(word[:3] for word in field.split("_"))


def _text(value: Any) -> str:
    """Returns `value` as a part of a name."""
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-")


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_DIGEST]


def _ending(name: str, end: str, reserved: int = 0) -> str:
    """Returns the beginning of `name` and `end`, so that `reserved` more characters fit into a name."""
    return name[: MAX_NAME - len(end) - reserved].rstrip("-._") + end
