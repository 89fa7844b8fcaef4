"""Checks whether a tree is complete by comparing its listing with the known counts of the data set."""

from collections import Counter

from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import Facts
from trainer.core.data.sources.listing import Listing

_WORST = 5


def complaints(name: str, listing: Listing, facts: Facts | None, allow_partial: bool) -> tuple[str, ...]:
    """Compares the counts of `listing` with `facts`, and returns what differs or is empty.

    Raises DataProblem E_COUNT instead, unless `allow_partial` is set and there is at least one image.
    """
    found = {split: len(rows.items) for split, rows in listing.splits.items()}
    expected = dict(facts.splits) if facts else {}
    classes = facts.classes if facts else None
    wrong = (classes is not None and classes != len(listing.classes)) or (bool(expected) and found != expected)
    if not wrong and all(found.values()):
        return ()
    parts = [f"{split} {found.get(split, 0):,} of {n:,} images" for split, n in expected.items()]
    parts += [
        f"{split} {n:,} images" + (", unknown to the data set" if expected else "")
        for split, n in found.items()
        if split not in expected
    ]
    if classes is not None:
        parts.append(f"{len(listing.classes)} of {classes} classes")
    tree = f"{name} as found in {listing.root} ({listing.layout})"
    summary = f"{tree} is not complete: {'; '.join(parts)}{_worst(listing, facts)}"
    if not any(found.values()):
        raise DataProblem("E_COUNT", f"{summary}; there is not one image to prepare")
    if not allow_partial:
        remedy = "fetch and unpack the archives again, or go on with allow-partial, which marks all results"
        raise DataProblem("E_COUNT", f"{summary}; {remedy}")
    return (f"E_COUNT: {summary}",)


def _worst(listing: Listing, facts: Facts | None) -> str:
    """Describes the classes that lack most of their known images or, where no counts are known, have the fewest."""
    found = Counter(label for rows in listing.splits.values() for label in rows.labels)
    known = facts.class_counts if facts else None
    wanted = known or {}

    def missing(label: int) -> int:
        return wanted.get(listing.class_ids[label], 0) - found[label]

    worst = sorted(range(len(listing.classes)), key=missing, reverse=True)[:_WORST]
    if not worst:
        return ""
    of = {label: f" of {wanted[listing.class_ids[label]]:,}" for label in worst if listing.class_ids[label] in wanted}
    named = ", ".join(f"{listing.class_ids[label]} {found[label]:,}{of.get(label, '')}" for label in worst)
    return f"; classes with {'most missing' if known else 'fewest images'}: {named}"
