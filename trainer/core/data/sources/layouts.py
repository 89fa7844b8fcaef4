"""Recognises which of the known layouts a tree has, and explains what to do if it has none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import FACTS, Facts
from trainer.core.data.sources.label_files import SHOWN, reading
from trainer.core.data.sources.listing import Listing


@dataclass(frozen=True)
class Layout:
    """A shape of tree that `read` can list.

    A folder is the base of this layout if all paths in `needs` exist below it and none in `forbids` does. In both, `*`
    matches any name. `below` lists the folders under the root that may be the base. `words` describes the layout in
    messages.
    """

    words: str
    needs: tuple[str, ...]
    read: Callable[[Path], Listing]
    below: tuple[str, ...] = ("",)
    forbids: tuple[str, ...] = ()
    renamed: bool = False
    """Whether the layout differs from what the authors distribute. The listing's notes then say so."""

    def hindrance(self, base: Path) -> str | None:
        """Returns the first reason why `base` does not have this layout, or None if it has it."""
        missing = next((base / each for each in self.needs if not _present(base, each)), None)
        if missing is not None:
            return f"{missing} is missing"
        wrong = next((base / each for each in self.forbids if _present(base, each)), None)
        return f"{wrong} is there" if wrong is not None else None


def read_first(name: str, root: Path, layouts: Sequence[Layout]) -> Listing:
    """Returns the listing of `root` by the first of `layouts` that matches.

    Raises DataProblem E_ARCHIVE if an archive must be unpacked first and E_LAYOUT if no layout matches.
    """
    root = root.expanduser()
    tried = []
    with reading(root):
        if root.is_dir():
            for layout in layouts:
                hindrances = []
                for below in layout.below:
                    hindrance = layout.hindrance(root / below)
                    if hindrance is None:
                        return _named(layout, below, layout.read(root / below))
                    hindrances.append(hindrance)
                tried.append(f"{layout.words}: {', '.join(hindrances)}")
        raise _unknown(FACTS[name], root, tried, sorted({below for layout in layouts for below in layout.below}))


def refuse_subset(name: str, subset: Path | None) -> None:
    """Raises ValueError if a subset is given for a data set without published lists."""
    if subset is not None:
        able = ", ".join(each.name for each in FACTS.values() if each.cdfsl)
        raise ValueError(
            f"subset is for {able}, the few-shot targets with published lists; {name} got {subset}: leave it out"
        )


def _present(base: Path, pattern: str) -> bool:
    return any(True for _ in base.glob(pattern)) if "*" in pattern else (base / pattern).exists()


def _named(layout: Layout, below: str, listing: Listing) -> Listing:
    words = f"{layout.words}, below {below}/" if below else layout.words
    notes = (f"W_RENAMED: not the authors' own tree: {words}", *listing.notes) if layout.renamed else listing.notes
    return replace(listing, layout=words, notes=notes)


def _unknown(facts: Facts, root: Path, tried: list[str], below: list[str]) -> DataProblem:
    """Returns E_ARCHIVE if there is an archive that is not unpacked yet, else E_LAYOUT."""
    known = {each.name: each for each in facts.archives if each.packed}
    waiting = [path for part in below for name in known if (path := root / part / name).is_file()]
    if root.is_file():
        waiting = [root]
    reasons = "".join(f"\n  {each}" for each in tried)
    if waiting:
        found = "; ".join(_described(path, known[path.name].bytes if path.name in known else None) for path in waiting)
        return DataProblem(
            "E_ARCHIVE",
            f"{facts.name} is not unpacked: there is {found}. Unpack it and give the folder, or let"
            f" `relearn data prepare {facts.name}` unpack it. Layouts tried:{reasons or ' none, this is no folder'}",
        )
    if not root.exists():
        return DataProblem("E_LAYOUT", f"{root} does not exist. {_remedy(facts)}")
    names = sorted(each.name for each in root.iterdir())
    there = ", ".join(names[:SHOWN]) or "nothing"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return DataProblem(
        "E_LAYOUT",
        f"no known layout of {facts.name} in {root}.\nTried:{reasons}\nThere: {there}{more}.\n{_remedy(facts)}",
    )


def _described(path: Path, expected: int | None) -> str:
    size = f"{path.stat().st_size:,} bytes"
    return f"{path} ({size}, expected {expected:,})" if expected is not None else f"{path} ({size})"


def _remedy(facts: Facts) -> str:
    """Returns a sentence that says what to fetch and from where."""
    if not facts.archives:
        return "Give a folder that holds one folder of images per class, or train/ and val/ or test/ of such folders."
    by_url: dict[str, list[str]] = {}
    for each in facts.archives:
        size = f" ({each.bytes:,} bytes)" if each.bytes is not None else ""
        by_url.setdefault(each.url, []).append(each.name + size)
    files = "; ".join(f"{', '.join(names)} from {url}" for url, names in by_url.items())
    login = "a login is needed" if facts.login else "no login is needed"
    return f"Fetch {files} ({login}), unpack, and give the folder that it was unpacked into."
