"""Generation 0 of an arm, which arms often share and which tables and figures then show once."""

from orchestrator.report.source import Source
from orchestrator.spec.tables import Cell


def first_generation(source: Source, arm: str, evaluator: str, dataset: str | None = None) -> frozenset[str] | None:
    """The keys of the nodes that measured generation 0 of `arm` on `dataset`, or on all data sets.

    The set is empty while nothing was measured. None means that generation 0 is not an entry of its own: the evaluator
    skips it, or evaluates no later generation of the arm.
    """
    generations = source.evaluated_generations(arm, evaluator, dataset)
    if len(generations) < 2 or generations[0] != 0:
        return None
    cells = (
        Cell(
            arm=arm,
            generation=0,
            evaluator=evaluator,
            dataset=label,
            metric=metric,
        )
        for label, metric in source.scores.get(evaluator, {})
        if dataset in (None, label)
    )
    return frozenset(node for cell in cells if (sample := source.sample(cell)) for node in sample.nodes)
