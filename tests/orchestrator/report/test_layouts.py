from typing import Any

from orchestrator import report
from orchestrator.report.source import Source
from orchestrator.spec.tables import Cell
from orchestrator.store import Store
from tests.orchestrator.builders import planned, small, submitted
from tests.orchestrator.report.builders import FEW, evaluated, realistic, row, scored

ONE_TABLE: dict[str, Any] = {
    "name": "accuracies",
    "caption": "c",
    "rows": [{"label": "ours", "arm": "seal"}, {"label": "plain", "arm": "normal"}],
    "columns": [{"label": "accuracy", "evaluator": "accuracy", "metric": "top1"}],
    "source": "a paper",
    "published": [[50.0], [None]],
}
BOTH = {("normal", 0): 0.5, ("seal", 0): 0.75}
OTHER_DATA = {"name": "digits-noisy", "train_per_class": 5}


def shape(store: Store, *experiments: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """The rows and columns of each table by its name."""
    built = report.build(store, [row(store, each) for each in experiments])
    return {table.name: (table.rows, table.columns) for table in built.tables}


def test_without_tables_there_is_one_for_each_evaluator(store: Store) -> None:
    rows = ("generation 0", "normal", "llf", "seal")
    shots = tuple(f"digits-{data} {k}shot/acc (%)" for data in ("inverted", "edges") for k in (1, 5))
    layers = tuple(f"{layer}/knn_acc (%)" for layer in ("layer1", "layer2", "layer3", "layer4", "fc"))
    probes = tuple(f"digits-{data} {acc} (%)" for data in ("inverted", "edges") for acc in ("acc", "acc_heldout"))
    assert shape(store, realistic(store)) == {
        "accuracy": (rows, ("top1 (%)",)),
        "linear-probe": (rows[1:], probes),  # evaluated after the last generation only
        "few-shot": (rows, shots),
        "hessian-spectrum": (rows, ("max", "negative_share (%)")),
        "prediction-depth": (rows, (*layers, "mean_depth")),
    }


def test_the_accuracy_while_training_stands_in_for_the_evaluator(store: Store) -> None:
    experiment = submitted(store, small(evaluations=[]))
    assert shape(store, experiment) == {}
    everything = realistic(store, evaluations=[])
    assert shape(store, everything) == {
        "training": (("generation 0", "normal", "llf", "seal"), ("test_accuracy/last (%)",))
    }


def test_the_accuracy_while_training_stands_where_an_arms_last_generation_is_not_evaluated(store: Store) -> None:
    first = realistic(store, evaluations=[{"evaluator": {"name": "accuracy"}, "on": ["first"]}])
    assert list(shape(store, first)) == ["training", "accuracy"]
    one = [{"evaluator": {"name": "accuracy"}, "arms": ["seal"]}]
    assert list(shape(store, realistic(store, data=OTHER_DATA, evaluations=one))) == ["training", "accuracy"]


def test_a_score_whose_last_generation_is_earlier_has_its_own_row(store: Store) -> None:
    """Digits with edges are evaluated after generation 2, inverted digits after generation 1."""
    few = [(["digits-edges"], ["last"]), (["digits-inverted"], [1])]
    raw = small(
        arms=[{"name": "normal", "method": {"name": "normal"}}],
        train={"generations": 3, "epochs": 3, "batch_size": 16},
        evaluations=[{"evaluator": FEW | {"shots": [5], "targets": targets}, "on": on} for targets, on in few],
    )
    experiment, plan = submitted(store, raw), planned(raw)
    for each in plan.nodes.values():
        if each.kind == "evaluation":
            evaluated(store, experiment, each, {"5shot/acc": each.generation / 4})
    built = report.build(store, [row(store, experiment)])
    assert built.tables[0].rows == ("normal, generation 1", "normal")
    assert [[cell.value for cell in cells] for cells in built.tables[0].cells] == [[None, 25], [50, None]]
    assert [[line.y for line in panel.series] for panel in built.figures[0].panels] == [[(50,)], [(25,)]]


def test_arms_that_do_not_share_generation_0_have_each_their_own(store: Store) -> None:
    arms = [
        {"name": "normal", "method": {"name": "normal"}},
        {"name": "seal", "method": {"name": "seal"}},
        {"name": "few", "method": {"name": "seal"}, "data": OTHER_DATA},
    ]
    raw = small(arms=arms, evaluations=[{"evaluator": {"name": "accuracy"}, "on": ["first", "last"]}])
    experiment = submitted(store, raw)
    for node in planned(raw).nodes.values():
        if node.kind == "evaluation":
            evaluated(store, experiment, node, {"top1": 0.5})
    rows, _ = shape(store, experiment)["accuracy"]
    assert rows == ("generation 0 of normal, seal", "generation 0 of few", "normal", "seal", "few")


def test_a_table_of_arms_with_different_last_generations_says_which(store: Store) -> None:
    train = {"generations": 3, "epochs": 3, "batch_size": 16}
    arms = [
        {"name": "normal", "method": {"name": "normal"}, "train": train},
        {"name": "seal", "method": {"name": "seal"}},
    ]
    experiment = submitted(store, small(arms=arms))
    for node in planned(small(arms=arms)).nodes.values():
        if node.kind == "evaluation":
            evaluated(store, experiment, node, {"top1": 0.5})
    (table,) = report.build(store, [row(store, experiment)]).tables
    assert table.caption == "accuracy after the last evaluated generation of each arm (2: normal; 1: seal)"


def test_tables_of_one_name_and_equal_columns_are_one(store: Store) -> None:
    first = scored(store, BOTH, name="first", tables=[ONE_TABLE])
    second = scored(store, BOTH, name="second", data=OTHER_DATA, tables=[ONE_TABLE | {"source": "another"}])
    (table,) = report.build(store, [row(store, first), row(store, second)]).tables
    assert table.rows == ("first/ours", "first/plain", "second/ours", "second/plain")
    assert [cell.value for (cell,) in table.cells] == [75, 50, 75, 50]
    assert [cell.published for (cell,) in table.cells] == [50, None, 50, None]
    assert table.source == "a paper / another"


def test_rows_keep_their_names_where_only_one_experiment_has_them(store: Store) -> None:
    first = scored(store, BOTH, name="first")
    second = scored(store, {("llf", 0): 0.5, ("seal", 0): 0.75}, name="second", data=OTHER_DATA)
    assert shape(store, first, second) == {"accuracy": (("normal", "first/seal", "llf", "second/seal"), ("top1 (%)",))}


def test_experiments_of_one_name_are_distinguished_by_id(store: Store) -> None:
    first, second = scored(store, BOTH), scored(store, BOTH, data=OTHER_DATA)
    rows, _ = shape(store, first, second)["accuracy"]
    assert rows == (f"{first}/normal", f"{first}/seal", f"{second}/normal", f"{second}/seal")


def test_tables_with_other_columns_are_not_joined(store: Store) -> None:
    columns = [{"label": "loss", "evaluator": "accuracy", "metric": "loss"}]
    first = scored(store, BOTH, name="first", tables=[ONE_TABLE])
    second = scored(store, BOTH, name="second", data=OTHER_DATA, tables=[ONE_TABLE | {"columns": columns}])
    built = report.build(store, [row(store, first), row(store, second)])
    assert [table.columns for table in built.tables] == [("accuracy",), ("loss",)]


def test_a_data_set_is_found_by_how_its_label_begins(store: Store) -> None:
    raw = small(evaluations=[{"evaluator": FEW}])
    experiment = submitted(store, raw)
    for node in planned(raw).nodes.values():
        if node.kind == "evaluation":
            relabelled = {"normal": "eurosat.partial", "seal": "eurosatellite"}[node.arm]
            object.__setattr__(node, "target_label", relabelled)
            evaluated(store, experiment, node, {"5shot/acc": 0.5})
    source = Source(store, row(store, experiment), "small")

    def found(arm: str, dataset: str) -> str | None:
        sample = source.sample(Cell(arm, None, "few-shot", dataset, "5shot/acc"))
        return sample.dataset if sample else None

    assert found("normal", "eurosat") == "eurosat.partial"
    assert found("normal", "eurosat.partial") == "eurosat.partial"
    assert found("seal", "eurosat") is None
    assert found("seal", "eurosatellite") == "eurosatellite"
    built = report.build(store, [row(store, experiment)])
    assert [panel.title for panel in built.figures[0].panels] == ["eurosat.partial", "eurosatellite"]
    notes = built.tables[0].footnotes
    assert any(note.startswith("eurosat.partial: partial data") for note in notes)
