"""Maps pointers into an expanded spec to pointers into the posted one, so that problems name what the user wrote."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.problems import Problem


@dataclass(frozen=True)
class _Move:
    """One expansion. `before` maps pointers after it to pointers before it; `copies` are pointers after it."""

    before: Mapping[str, str]
    copies: frozenset[str]


@dataclass(frozen=True)
class SourceMap:
    """Maps pointers into the expanded document to pointers into the posted one. The empty map changes no pointer."""

    moves: tuple[_Move, ...] = ()

    def then(self, before: Mapping[str, str], copies: Collection[str] = ()) -> "SourceMap":
        """Returns this map extended by a further expansion.

        `before` maps pointers after the expansion to pointers before it, and applies to everything below them. `copies`
        are the pointers, after the expansion, to parts that the user wrote once and the expansion repeated.
        """
        return SourceMap((*self.moves, _Move(before, frozenset(copies))))

    def written(self, pointer: str) -> str:
        """Returns the pointer into the posted document for a `pointer` into the expanded one."""
        return self._traced(pointer)[0]

    def reported(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """Yields the problems of the expanded document with pointers into the posted one.

        Problems with the same pointer and code that several copies have are yielded once.
        """
        seen: set[tuple[str, str]] = set()
        for problem in problems:
            pointer, copied = self._traced(problem.pointer)
            if not copied or (pointer, problem.code) not in seen:
                yield replace(problem, pointer=pointer)
            if copied:
                seen.add((pointer, problem.code))

    def _traced(self, pointer: str) -> tuple[str, bool]:
        """Returns the pointer into the posted document, and whether it is part of a copy."""
        copied = False
        for move in reversed(self.moves):
            above = list(_above(pointer))
            copied = copied or any(each in move.copies for each in above)
            moved = next((each for each in above if each in move.before), None)
            if moved is not None:
                pointer = move.before[moved] + pointer[len(moved) :]
        return pointer, copied


def _above(pointer: str) -> Iterator[str]:
    """Yields `pointer` and the pointers to everything that contains it, innermost first."""
    while pointer:
        yield pointer
        pointer = pointer.rpartition("/")[0]
