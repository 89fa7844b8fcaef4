"""Whether a tree is complete: what was listed against what the data set is known to hold."""

from collections import Counter

from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import Facts
from trainer.core.data.sources.listing import Listing

_WORST = 5


def complaints(name: str, listing: Listing, facts: Facts | None, allow_partial: bool) -> tuple[str, ...]:
    """What is not as `facts` say, or is empty: raised as DataProblem E_COUNT, or returned with `allow_partial`."""
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
    told = f"{name} as found in {listing.root} ({listing.layout}) is not complete: {'; '.join(parts)}{_worst(listing, facts)}"
    if not any(found.values()):
        raise DataProblem("E_COUNT", f"{told}; there is not one image to prepare")
    if not allow_partial:
        remedy = "fetch and unpack the archives again, or go on with allow-partial, which marks all results"
        raise DataProblem("E_COUNT", f"{told}; {remedy}")
    return (f"E_COUNT: {told}",)


def _worst(listing: Listing, facts: Facts | None) -> str:
    """The classes that miss most of what is known of them, or have least."""
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
