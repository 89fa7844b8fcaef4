"""Which of the known layouts a tree has, and what to tell people whose tree has none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import FACTS, Facts
from trainer.core.data.sources.label_files import reading, remedy
from trainer.core.data.sources.listing import Listing

_SHOWN = 10


@dataclass(frozen=True)
class Layout:
    """A tree that `read` understands once its base is known: all of `needs` is there and nothing of `forbids`.

    Both are paths below the base, in which `*` matches any name; `below` says where under the root the base may be.
    """

    words: str
    needs: tuple[str, ...]
    read: Callable[[Path], Listing]
    below: tuple[str, ...] = ("",)
    forbids: tuple[str, ...] = ()
    renamed: bool = False
    """Not as the authors distribute it, which the listing's notes then say."""

    def hindrance(self, base: Path) -> str | None:
        """The first thing that keeps `base` from having this layout."""
        missing = next((base / each for each in self.needs if not _present(base, each)), None)
        if missing is not None:
            return f"{missing} is missing"
        wrong = next((base / each for each in self.forbids if _present(base, each)), None)
        return f"{wrong} is there" if wrong is not None else None


def read_first(name: str, root: Path, layouts: Sequence[Layout]) -> Listing:
    """The listing by the first layout that matches, its own folder tried as well as its parent."""
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
    """E_ARCHIVE where an archive waits to be unpacked, else E_LAYOUT."""
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
        return DataProblem("E_LAYOUT", f"{root} does not exist. {remedy(facts)}")
    names = sorted(each.name for each in root.iterdir())
    there = ", ".join(names[:_SHOWN]) or "nothing"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return DataProblem(
        "E_LAYOUT",
        f"no known layout of {facts.name} in {root}.\nTried:{reasons}\nThere: {there}{more}.\n{remedy(facts)}",
    )


def _described(path: Path, expected: int | None) -> str:
    size = f"{path.stat().st_size:,} bytes"
    return f"{path} ({size}, expected {expected:,})" if expected is not None else f"{path} ({size})"
