from importlib.metadata import version

import pytest

from orchestrator import presets, report
from orchestrator.report.model import Report
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from tests.orchestrator.builders import claimed, epoch_row, node, planned, small, submitted
from tests.orchestrator.report.builders import HASH, REALISTIC, evaluated, realistic, row, trained


def built(store: Store, *experiments: str) -> Report:
    return report.build(store, [row(store, each) for each in experiments], now=1_764_000_000.0)


@pytest.fixture
def whole(store: Store) -> Report:
    return built(store, realistic(store))


def test_the_title_is_the_specs_else_the_name(store: Store, whole: Report) -> None:
    assert whole.title == "Forgetting and relearning on noisy digits"
    assert whole.made_at == "2025-11-24T16:00:00+00:00"
    first, second = submitted(store), submitted(store, small(name="other", seeds=[7]))
    assert built(store, first).title == "small"
    assert built(store, first, second).title == "Comparison of small, other"


def test_a_report_on_small_data_says_so_first(whole: Report) -> None:
    assert "not the paper's numbers" in whole.notices[0]
    assert "digits-noisy" in whole.notices[0]


def test_an_experiment_that_runs_has_a_report_that_says_it_is_preliminary(store: Store) -> None:
    experiment = submitted(store)
    assert built(store, experiment).notices[1].startswith("small is QUEUED: this report is preliminary")
    store.start_attempt(experiment, ExperimentState.RUNNING)
    store.add_epochs([epoch_row(node(planned(small()), "seal", 0).key, 0, metrics={"test/accuracy": 0.5})])
    found = built(store, experiment)
    assert found.notices[1].startswith("small is RUNNING")
    assert [figure.name for figure in found.figures] == ["accuracy"]


def test_a_failed_experiment_says_what_failed(store: Store) -> None:
    experiment, plan = submitted(store), planned(small())
    trained(store, experiment, node(plan, "normal", 0), [0.5])
    message = "Traceback\n  somewhere\nDiverged: the loss is not finite"
    store.fail_node(claimed(store, node(plan, "seal", 1).key, experiment), Reason.DIVERGED, message)
    store.move(experiment, ExperimentState.FAILED, reason=Reason.DIVERGED, message="1 of 5 nodes failed")
    notices = built(store, experiment).notices
    assert notices[1] == "small FAILED (DIVERGED): 1 of 5 nodes failed. What was not measured is shown as –."
    assert notices[2] == "small: seal, seed 0, generation 1 (generation): DIVERGED: Diverged: the loss is not finite"


def test_notes_of_evaluators_are_shown_below_their_table_once(whole: Report) -> None:
    notes = {table.name: table.footnotes for table in whole.tables}
    assert notes["few-shot"].count("few-shot: reduced run: 40 of the protocol's 600 episodes") == 1
    assert sum("test-selected" in note for note in notes["linear-probe"]) == 1
    assert "linear-probe: reduced to 10 training images per class." in notes["linear-probe"]
    assert "hessian-spectrum: reduced to 64 training images of the usual 10,000." in notes["hessian-spectrum"]
    assert f"Data, by digest: digits-inverted#{HASH[:12]}, digits-edges#{HASH[:12]}." in notes["few-shot"]


def test_a_preset_with_other_settings_says_which(store: Store) -> None:
    """Seeds, name and resources are not settings of the networks."""
    raw = presets.known()["digits/table-2"].expanded()
    values = [[1.0] * len(raw["tables"][0]["columns"])] * len(raw["tables"][0]["rows"])
    raw["tables"] = [raw["tables"][0] | {"published": values, "source": "Table 2"}]
    same = submitted(store, raw | {"name": "same", "seeds": [0]})
    assert not [notice for notice in built(store, same).notices if "Made from" in notice]
    changed = {"train": raw["train"] | {"epochs": 2}, "model": {"name": "resnet-digits", "width": 4}}
    notices = built(store, submitted(store, raw | {"name": "other", "seeds": [0]} | changed)).notices
    made = f"Made from {raw['preset']} with other model, train.epochs: the printed values are not of this setting."
    assert made in notices


def test_notes_of_the_spec_are_kept(store: Store) -> None:
    table = {
        "name": "t",
        "caption": "c",
        "rows": [{"label": "seal", "arm": "seal"}],
        "columns": [{"label": "accuracy", "evaluator": "accuracy", "metric": "top1"}],
        "notes": ["No source says which."],
    }
    (found,) = built(store, submitted(store, small(tables=[table]))).tables
    assert "No source says which." in found.footnotes


def test_shared_generations_say_where_they_were_trained(store: Store) -> None:
    """LLF and SEAL share generation 0 with Normal, and a second experiment shares every generation."""
    experiment = realistic(store)
    found = built(store, experiment).provenance.generations
    assert len(found) == 3 * 3 * 4
    shared = [(each.arm, each.generation, each.made_by) for each in found if each.shared and each.seed == 0]
    assert shared == [(arm, 0, f"{experiment}/normal/seed0/g0") for arm in ("llf", "seal")]
    again = submitted(store, REALISTIC | {"name": "again"})
    assert all(each.shared and each.cached for each in built(store, again).provenance.generations)


def test_versions_machines_and_data_are_named(whole: Report) -> None:
    found = whole.provenance
    assert found.relearn == version("relearn")
    assert [machine["torch"] for machine in found.machines] == ["2.11.0"]
    assert found.data == {"digits-edges": HASH, "digits-inverted": HASH, "digits-noisy": HASH}
    assert whole.experiments[0].plan["generation"] == {"requested": 36, "unique": 30, "cached": 0}


def test_settings_are_those_that_were_resolved(whole: Report) -> None:
    settings = {arm.arm: arm.settings for arm in whole.provenance.arms}
    assert settings["seal"]["method.ascent_scale"] == 2.0
    assert settings["normal"]["train.lr"] == settings["seal"]["train.lr"] == 0.05
    assert settings["normal"]["train.momentum"] == 0.9


def test_a_warning_of_training_is_shown_once_with_its_number_of_repetitions(store: Store) -> None:
    experiment, plan = submitted(store), planned(small())
    for epoch in range(3):
        warning = f"no forgetting happened: 98.{epoch}%"
        store.add_epochs([epoch_row(node(plan, "seal", 1).key, epoch, 1, warnings=[warning])])
    assert built(store, experiment).warnings == ("small/seal: no forgetting happened: 98.0% (and 2 more like it)",)


def test_what_was_posted_under_other_code_still_has_a_report(store: Store) -> None:
    """The package of a method may be no longer installed."""
    raw = small()
    document = {**raw, "seeds": [0], "tables": None}
    document["data"] = {"name": "digits-noisy", "of_earlier_code": True}
    document["arms"] = [
        {"name": "normal", "method": {"name": "gone"}},
        {"name": "seal", "method": {"name": "gone-too"}},
    ]
    experiment, _ = store.submit("old", document, planned(raw))
    evaluated(store, experiment, node(planned(raw), "seal", 1, "evaluation"), {"top1": 0.5})
    (table,) = built(store, experiment).tables
    assert [cell.value for (cell,) in table.cells] == [None, 50]
