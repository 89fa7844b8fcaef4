"""Where the parts of an expanded spec were written, so that every problem is reported at a place that the user knows."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.problems import Problem


@dataclass(frozen=True)
class _Move:
    """What one expansion did: the pointer before by the pointer after, and which of the latter are copies of one part."""

    before: Mapping[str, str]
    copies: frozenset[str]


@dataclass(frozen=True)
class SourceMap:
    """A pointer into the expanded document to a pointer into what the user wrote. The empty one changes no pointer."""

    moves: tuple[_Move, ...] = ()

    def then(self, before: Mapping[str, str], copies: Collection[str] = ()) -> "SourceMap":
        """This map after a further expansion, by which `before[pointer]` came to be at `pointer`, with all that is below it.

        What the user wrote once and the expansion wrote out several times is named in `copies`, by pointers afterwards.
        """
        return SourceMap((*self.moves, _Move(before, frozenset(copies))))

    def written(self, pointer: str) -> str:
        """The place that the user wrote, of what is at `pointer` in the expanded document."""
        return self._traced(pointer)[0]

    def reported(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """The problems of the expanded document at the places that the user wrote; what copies have in common, once."""
        seen: set[tuple[str, str]] = set()
        for problem in problems:
            pointer, copied = self._traced(problem.pointer)
            if not copied or (pointer, problem.code) not in seen:
                yield replace(problem, pointer=pointer)
            if copied:
                seen.add((pointer, problem.code))

    def _traced(self, pointer: str) -> tuple[str, bool]:
        copied = False
        for move in reversed(self.moves):
            above = list(_above(pointer))
            copied = copied or any(each in move.copies for each in above)
            moved = next((each for each in above if each in move.before), None)
            if moved is not None:
                pointer = move.before[moved] + pointer[len(moved) :]
        return pointer, copied


def _above(pointer: str) -> Iterator[str]:
    """`pointer` and what it is a part of, from the inside out."""
    while pointer:
        yield pointer
        pointer = pointer.rpartition("/")[0]
