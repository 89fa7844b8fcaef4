"""The finished generations that must be trained again, because their checkpoint was removed and is needed."""

from collections.abc import Collection, Mapping


def trained_again(parents: Mapping[str, str | None], done: Collection[str], kept: Collection[str]) -> set[str]:
    """Returns the finished generations whose checkpoint was removed but is needed by an unfinished node.

    `parents` maps every node of a plan to its parent, with parents before children. `done` has the finished nodes and
    `kept` those whose checkpoint still exists. The returned generations count as unfinished themselves.
    """
    again: set[str] = set()
    for key, parent in reversed(list(parents.items())):
        if (key not in done or key in again) and parent in done and parent not in kept:
            assert parent is not None
            again.add(parent)
    return again
