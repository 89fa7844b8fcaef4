"""Which done generations are trained again, because their checkpoint was removed and something needs it."""

from collections.abc import Collection, Mapping


def trained_again(parents: Mapping[str, str | None], done: Collection[str], kept: Collection[str]) -> set[str]:
    """The done generations whose checkpoint is not kept although a node that is to be made goes on from it or judges it.

    `parents` has every node of a plan, parents first; what is not `done` is to be made, and so is what this returns.
    """
    again: set[str] = set()
    for key, parent in reversed(list(parents.items())):
        if (key not in done or key in again) and parent in done and parent not in kept:
            assert parent is not None
            again.add(parent)
    return again
