"""Few-shot accuracy by the number of shots: a panel for each data set and mode, a line for each arm."""

import re
from collections.abc import Callable

from orchestrator.report.lines import MOST_PANELS, Drawn, at_the_end, cut, last, limits_of, panels_left_out
from orchestrator.report.model import Figure, Panel, Series
from orchestrator.report.statistics import Mean, mean

_SHOTS = re.compile(r"(\d+)shot(-affines)?/acc")


def shots(arms: list[Drawn]) -> Figure | None:
    """Few-shot accuracy by the number of shots, a panel for each data set and mode."""
    asked: dict[tuple[str, str], dict[int, None]] = {}
    for arm in arms:
        for dataset, metric in arm.source.scores.get("few-shot", {}):
            if found := _SHOTS.fullmatch(metric):
                asked.setdefault((dataset, found[2] or ""), {})[int(found[1])] = None
    panels, gist, remarks = list[Panel](), list[str](), dict[str, None]()
    for (dataset, mode), numbers in asked.items():
        lines, beyond = at_the_end(arms, "few-shot", _by_shots(dataset, mode, sorted(numbers)), dataset)
        if lines:
            title = f"{dataset}, linear + affines" if mode else dataset
            limits = limits_of(lines)
            panels.append(
                Panel(
                    title=title,
                    x="shots",
                    y="accuracy (%)",
                    series=tuple(lines),
                    ticks=tuple(str(each) for each in sorted(numbers)),
                    limits=limits,
                )
            )
            remarks |= dict.fromkeys((cut(lines, limits), beyond) if len(panels) <= MOST_PANELS else ())
            most = "; ".join(f"{line.label} {last(line):.1f} %" for line in lines)
            gist.append(f"{title} with {max(numbers)} shots: {most}")
    if not panels:
        return None
    caption = "Few-shot accuracy by number of shots after the last evaluated generation, "
    caption += "with 95 % intervals over seeds (one seed: episodes)."
    caption += "".join(remarks) + panels_left_out(len(panels), "data sets and modes")
    alt = f"Line charts. {'. '.join(gist[:MOST_PANELS])}."
    return Figure("shots", caption, alt, tuple(panels[:MOST_PANELS]))


def _by_shots(dataset: str, mode: str, numbers: list[int]) -> Callable[[Drawn, int], Series | None]:
    """Returns what draws the line of an arm after a generation: accuracy in percent at each number of shots."""

    def line(arm: Drawn, generation: int) -> Series | None:
        points: dict[int, Mean] = {}
        for index, number in enumerate(numbers):
            sample = arm.sample(generation, "few-shot", dataset, f"{number}shot{mode}/acc")
            if sample is None:
                continue
            found = mean(list(sample.values.values()))
            if found.n == 1:  # the interval over the episodes of the one seed
                row = sample.rows[next(iter(sample.values))]
                found = Mean(found.value, found.n, row["low"], row["high"])
            points[index] = found.scaled(100)
        if not points:
            return None
        return Series(
            label=arm.label,
            x=tuple(map(float, points)),
            y=tuple(each.value for each in points.values()),
            low=tuple(each.low for each in points.values()),
            high=tuple(each.high for each in points.values()),
        )

    return line
