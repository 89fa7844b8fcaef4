"""Test accuracy over training: one line per arm, with forgetting phases shaded and starts of generations marked."""

from dataclasses import dataclass

from orchestrator.report.lines import (
    MOST_LINES,
    MOST_STARTS,
    Drawn,
    bands,
    common,
    cut,
    last,
    limits_of,
    line_of,
    ranges,
    shown,
    spans_of,
    thinned,
)
from orchestrator.report.model import Figure, Panel, Series


@dataclass(frozen=True)
class _History:
    """The measurements of one arm during training. Epochs are counted from 1 through all generations."""

    accuracies: dict[int, list[float]]
    """Test accuracies in percent by epoch, one for each seed that has reached the epoch."""
    forgetting: set[int]
    """The epochs that belong to a forgetting phase."""
    starts: set[int]
    """The last epoch before each generation but the first."""

    @property
    def complete(self) -> list[int]:
        """The epochs that every seed with any epoch has reached, in order."""
        begun = max(map(len, self.accuracies.values()))
        return sorted(at for at, values in self.accuracies.items() if len(values) == begun)


def accuracy(arms: list[Drawn]) -> Figure | None:
    """Test accuracy by epoch, counted through all generations, with the forgetting phases shaded."""
    lines, forgetting, starts = list[Series](), dict[str, tuple[set[int], int]](), list[tuple[set[int], int]]()
    partly = False
    for arm in arms:
        if not (epochs := int(arm.source.part(arm.arm, "train")["epochs"])):
            continue
        history = _history(arm, epochs)
        if not history.accuracies:
            continue
        complete = history.complete
        end = complete[-1]
        if len(lines) < MOST_LINES:
            partly = partly or len(complete) < len(history.accuracies)
            forgetting[arm.label] = {at for at in history.forgetting if at <= end}, end
            starts.append(({at for at in history.starts if at < end}, end - 1))
        kept = thinned(complete, epochs)
        lines.append(line_of(arm.label, kept, [history.accuracies[at] for at in kept]))
    if not lines:
        return None
    lines, beyond = shown(lines)
    limits = limits_of(lines)
    spans = {label: spans_of(epochs) for label, (epochs, _) in forgetting.items() if epochs}
    shaded = spans_of(common(marks for marks in forgetting.values() if marks[0]) or ())
    lines_at = tuple(sorted(common(starts) or ()))
    lines_at = lines_at if len(lines_at) <= MOST_STARTS else ()
    panel = Panel(
        title="",
        x="epoch",
        y="test accuracy (%)",
        series=tuple(lines),
        limits=limits,
        shaded=shaded,
        starts=lines_at,
    )
    gist = "; ".join(f"{line.label} {last(line):.1f} % after epoch {line.x[-1]:.0f}" for line in lines)
    phases = ""
    if spans:
        each = "; ".join(f"{label} {ranges(own)}" for label, own in spans.items())
        phases = f" Forgetting phases: epochs {ranges(shaded) if shaded else each}."
    caption = "Test accuracy over all generations" + bands(lines)
    caption += (
        "; forgetting phases are shaded" if shaded else "; forgetting phases differ and are not shaded" if spans else ""
    )
    caption += "; thin lines mark the starts of generations." if lines_at else "."
    caption += " Epochs that not all seeds of an arm have reached are left out." if partly else ""
    return Figure("accuracy", caption + cut(lines, limits) + beyond, f"Line chart. {gist}.{phases}", (panel,))


def _history(arm: Drawn, epochs: int) -> _History:
    """Reads the epoch rows of all seeds of an arm whose generations have `epochs` epochs each."""
    by_epoch: dict[int, list[float]] = {}
    own, forgets = set[int](), set[int]()
    for _, rows in arm.source.epochs(arm.arm):
        for row in rows:
            at = row.generation * epochs + row.epoch + 1
            if row.phase == "forgetting":
                forgets.add(at)
            if row.epoch == 0 and at > 1:
                own.add(at - 1)
            if (measured := row.metrics.get("test/accuracy")) is not None:
                by_epoch.setdefault(at, []).append(100 * measured)
    return _History(by_epoch, forgets, own)
