from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from orchestrator import report
from orchestrator.report.model import Cell, Table
from orchestrator.store import Store
from orchestrator.store.records import ResultRow
from tests.orchestrator.builders import Clock, node, planned, small, submitted
from tests.orchestrator.report.builders import FEW, evaluated, row, scored


def table(store: Store, *experiments: str) -> Table:
    """The only table of the report of `experiments`."""
    (found,) = report.build(store, [row(store, each) for each in experiments]).tables
    return found


def cells(table: Table) -> dict[str, Cell]:
    """The cells of a table of one column by their row."""
    return {label: cell for label, (cell,) in zip(table.rows, table.cells, strict=True)}


def best(table: Table) -> list[tuple[str, str]]:
    return [(cell.row, cell.column) for row in table.cells for cell in row if cell.best]


def seeds(**arms: tuple[float, ...]) -> dict[tuple[str, int], float]:
    return {(arm, seed): value for arm, values in arms.items() for seed, value in enumerate(values)}


def axis(**fixed: Any) -> dict[str, Any]:
    return {"label": fixed.pop("label", "a label")} | fixed


def of_top1(arms: list[str], **more: Any) -> list[dict[str, Any]]:
    """A table of the accuracy of `arms` after the last generation."""
    rows = [axis(label=arm.upper(), arm=arm) for arm in arms]
    return [{"name": "t", "caption": "c", "rows": rows, "columns": [axis(evaluator="accuracy", metric="top1")]} | more]


# --- cells ---


def test_a_cell_is_the_mean_over_seeds_with_students_interval(store: Store) -> None:
    cell = cells(table(store, scored(store, seeds(seal=(0.5, 0.6, 0.7)))))["seal"]
    low, high = stats.t.interval(0.95, 2, 60, 10 / 3**0.5)
    assert [cell.value, cell.low, cell.high] == pytest.approx([60, low, high])
    assert (cell.n, cell.unit, cell.dataset, cell.generation) == (3, "percent", "digits-noisy", 1)
    assert [(each.seed, each.value, each.n) for each in cell.seeds] == [(0, 50, 100), (1, 60, 100), (2, 70, 100)]


def test_one_seed_has_no_interval_and_the_table_says_so_once(store: Store) -> None:
    found = table(store, scored(store, seeds(normal=(0.5,), seal=(0.75,))))
    assert [(cell.value, cell.low) for cell in cells(found).values()] == [(50, None), (75, None)]
    assert sum("no interval over seeds" in note for note in found.reading) == 1
    assert best(found) == []


def test_one_seed_is_not_claimed_of_cells_with_more(store: Store) -> None:
    values = seeds(normal=(0.5,), llf=(0.6,), seal=(0.7, 0.72))
    reading = " ".join(table(store, scored(store, values)).reading)
    assert "One seed, without an interval over seeds, where no n is given; else mean over n seeds" in reading
    assert "no interval over seeds is shown" not in reading


def test_what_is_not_measured_is_left_open(store: Store) -> None:
    found = table(
        store, scored(store, seeds(normal=(0.5, 0.6)) | {("seal", 0): 0.75}, tables=of_top1(["normal", "seal"]))
    )
    normal, seal = cells(found).values()
    assert (normal.n, seal.n, seal.low) == (2, 1, None)
    waiting = submitted(store, small(name="waiting", tables=of_top1(["normal", "seal"]), seeds=[7]))
    assert [cell.value for cell in cells(table(store, waiting)).values()] == [None, None]
    assert any("not measured" in note for note in table(store, waiting).reading)


def test_generation_and_data_of_a_cell_are_what_row_and_column_say(store: Store) -> None:
    raw = small(
        arms=[{"name": "normal", "method": {"name": "normal"}}],
        evaluations=[{"evaluator": {"name": "accuracy"}, "on": ["every"]}, {"evaluator": FEW}],
        tables=[
            {
                "name": "t",
                "caption": "c",
                "rows": [axis(arm="normal", generation=0), axis(arm="normal")],
                "columns": [
                    axis(evaluator="accuracy", metric="top1"),
                    axis(evaluator="accuracy", metric="loss", dataset="digits-noisy"),
                    axis(evaluator="few-shot", metric="5shot/acc", dataset="digits-edges"),
                ],
            }
        ],
    )
    experiment, plan = submitted(store, raw), planned(raw)
    for each in plan.nodes.values():
        if each.kind == "evaluation" and each.evaluator is not None:
            few = each.evaluator["name"] == "few-shot"
            evaluated(
                store,
                experiment,
                each,
                {"5shot/acc": 0.25} if few else {"top1": 0.5 + each.generation / 4, "loss": 1.5},
            )
    values = [[cell.value for cell in row] for row in table(store, experiment).cells]
    assert values == [[50, 1.5, None], [75, 1.5, 25]]


def test_published_values_stand_beside_ours_with_the_difference(store: Store) -> None:
    tables = of_top1(["normal", "seal"], published=[[54.25], [[60.0, 0.5]]], source="Table 2")
    found = table(store, scored(store, seeds(normal=(0.5, 0.51), seal=(0.75, 0.76)), tables=tables))
    normal, seal = cells(found).values()
    assert (normal.published, normal.published_half) == (54.25, None)
    assert (seal.published, seal.published_half) == (60.0, 0.5)
    assert [normal.difference, seal.difference] == pytest.approx([-3.75, 15.5])
    assert any("Table 2" in note for note in found.reading)


# --- the best ---


def test_the_best_is_marked_where_the_paired_difference_excludes_zero(store: Store) -> None:
    """The seeds differ by 10 points and the arms by 1 to 1.2: only pairing shows the difference."""
    values = seeds(normal=(0.50, 0.60, 0.70), seal=(0.51, 0.612, 0.711))
    assert best(table(store, scored(store, values))) == [("seal", "top1 (%)")]


def test_the_best_is_not_marked_where_the_paired_difference_includes_zero(store: Store) -> None:
    """+10, +10 and -5 points: mean 5, half the interval 21.5."""
    values = seeds(normal=(0.50, 0.60, 0.70), seal=(0.60, 0.70, 0.65))
    assert best(table(store, scored(store, values))) == []


def test_equal_differences_have_an_interval_without_width_and_prove_nothing(store: Store) -> None:
    """One point in each seed, as large as the numbers can hold it."""
    assert best(table(store, scored(store, seeds(normal=(0.5, 0.6), seal=(0.51, 0.61))))) == []


def test_it_must_beat_every_competitor(store: Store) -> None:
    values = seeds(normal=(0.50, 0.51, 0.52), llf=(0.60, 0.61, 0.64), seal=(0.61, 0.64, 0.62))
    assert best(table(store, scored(store, values))) == []


def test_equal_scores_of_other_networks_are_a_tie(store: Store) -> None:
    assert best(table(store, scored(store, seeds(normal=(0.5, 0.6), seal=(0.5, 0.6))))) == []


def test_rows_that_show_the_same_networks_do_not_compete(store: Store) -> None:
    tables = of_top1(["normal", "seal", "seal"])
    values = seeds(normal=(0.50, 0.60, 0.70), seal=(0.51, 0.612, 0.711))
    assert best(table(store, scored(store, values, tables=tables))) == [("SEAL", "a label")] * 2


def test_a_lower_loss_is_better_and_a_largest_eigenvalue_is_neither(store: Store) -> None:
    evaluators = [{"name": "accuracy"}, {"name": "hessian-spectrum", "examples": 32}]
    columns = [axis(label=metric, evaluator="accuracy", metric=metric) for metric in ("top1", "loss", "ece")]
    columns.append(axis(label="max", evaluator="hessian-spectrum", metric="max"))
    raw = small(
        seeds=[0, 1, 2],
        evaluations=[{"evaluator": each} for each in evaluators],
        tables=[{"name": "t", "caption": "c", "rows": [axis(label=arm, arm=arm) for arm in ("normal", "seal")]}],
    )
    raw["tables"][0]["columns"] = columns
    experiment = submitted(store, raw)
    for each in planned(raw).nodes.values():
        if each.kind == "evaluation":
            at = (each.arm == "seal") * (0.1 + each.seed / 500) + each.seed / 1000
            evaluated(store, experiment, each, {"top1": 0.5 + at, "loss": 1 + at, "ece": 0.2 + at, "max": 9 + at})
    assert sorted(best(table(store, experiment))) == [("normal", "ece"), ("normal", "loss"), ("seal", "top1")]


def test_columns_compete_where_the_table_says_so(store: Store) -> None:
    """One row, a column for each arm."""
    tables = of_top1(["normal", "seal"])[0]
    turned = tables | {"rows": tables["columns"], "columns": tables["rows"], "compare": "columns"}
    values = seeds(normal=(0.50, 0.60, 0.70), seal=(0.51, 0.612, 0.711))
    assert best(table(store, scored(store, values, tables=[turned]))) == [("a label", "SEAL")]
    other = {(f"{arm}-other", seed): value for (arm, seed), value in values.items()}
    arms = [axis(label=arm.upper(), arm=arm) for arm in ("normal-other", "seal-other")]
    alone = turned | {"compare": "rows", "columns": arms}
    data = {"name": "digits-noisy", "train_per_class": 5}
    assert best(table(store, scored(store, other, data=data, tables=[alone]))) == []


def test_scores_under_other_settings_are_not_compared(store: Store) -> None:
    probe = {"name": "linear-probe", "targets": ["digits-edges"]}
    raw = small(
        seeds=[0, 1],
        evaluations=[
            {"evaluator": probe, "arms": ["normal"]},
            {"evaluator": probe | {"train_per_class": 10}, "arms": ["seal"]},
        ],
    )
    experiment = submitted(store, raw)
    for each in planned(raw).nodes.values():
        if each.kind == "evaluation":
            evaluated(store, experiment, each, {"acc": 0.5 + (each.arm == "seal") / 4})
    found = table(store, experiment)
    assert best(found) == []
    assert any("evaluated under different settings" in note for note in found.reading)
    assert any("10 training images per class" in note for note in found.footnotes)


def few_shot(store: Store, gains: dict[str, list[float]], digests: dict[str, str]) -> Table:
    """One seed: SEAL and Normal on four episodes."""
    few = FEW | {"shots": [1], "episodes": 4}
    raw = small(evaluations=[{"evaluator": few}])
    experiment = submitted(store, raw)
    for arm, episodes in gains.items():
        curves = {"1shot/episodes": episodes}
        scores, digest = {"1shot/acc": sum(episodes) / 4}, {"1shot": digests[arm]}
        evaluated(store, experiment, node(planned(raw), arm, 1, "evaluation"), scores, curves, digests=digest)
    return table(store, experiment)


def test_with_one_seed_few_shot_scores_are_paired_by_episode(store: Store) -> None:
    episodes = {"normal": [0.2, 0.4, 0.6, 0.8], "seal": [0.3, 0.5, 0.72, 0.9]}
    found = few_shot(store, episodes, {"normal": "a", "seal": "a"})
    assert [row for row, _ in best(found)] == ["seal"]
    assert any("episode by episode" in note for note in found.reading)


def test_other_episodes_are_not_paired(store: Store) -> None:
    episodes = {"normal": [0.2, 0.4, 0.6, 0.8], "seal": [0.3, 0.5, 0.72, 0.9]}
    assert best(few_shot(store, episodes, {"normal": "a", "seal": "b"})) == []


def test_equal_episodes_of_other_seeds_are_not_paired(store: Store) -> None:
    """Normal was evaluated with seed 0 only and SEAL with seed 1: their networks have no seed in common."""
    raw = small(evaluations=[{"evaluator": FEW | {"shots": [1], "episodes": 4}}], seeds=[0, 1])
    experiment = submitted(store, raw)
    for arm, seed, episodes in (("normal", 0, [0.2, 0.4, 0.6, 0.8]), ("seal", 1, [0.3, 0.5, 0.72, 0.9])):
        curves, scores = {"1shot/episodes": episodes}, {"1shot/acc": sum(episodes) / 4}
        evaluated(
            store, experiment, node(planned(raw), arm, 1, "evaluation", seed), scores, curves, digests={"1shot": "a"}
        )
    assert best(table(store, experiment)) == []


def test_equal_episodes_whose_difference_includes_zero_mark_nothing(store: Store) -> None:
    episodes = {"normal": [0.2, 0.4, 0.6, 0.8], "seal": [0.9, 0.3, 0.5, 0.9]}
    assert best(few_shot(store, episodes, {"normal": "a", "seal": "a"})) == []


def test_a_score_under_two_settings_shows_the_first_of_the_spec_with_a_note(store: Store) -> None:
    settings = [FEW | {"shots": [1], "episodes": 4, "lr": lr} for lr in (0.5, 0.1)]
    raw = small(evaluations=[{"evaluator": each} for each in settings])
    experiment = submitted(store, raw)
    for each in reversed(planned(raw).nodes.values()):
        if each.kind == "evaluation" and each.evaluator is not None:
            evaluated(store, experiment, each, {"1shot/acc": each.evaluator.get("lr", 0.0)})
    found = table(store, experiment)
    assert {cell.value for cell in cells(found).values()} == {50}
    assert any("under 2 settings" in note for note in found.reading)


class Counting(Store):
    """A database that counts the queries for results."""

    asked = 0

    def results_of(self, *where: Any) -> list[ResultRow]:
        self.asked += 1
        return super().results_of(*where)


def test_the_database_is_read_once_for_a_row_however_large_the_table_is(tmp_path: Path) -> None:
    arms = [f"a{index}" for index in range(30)]
    tables = of_top1(arms, columns=[axis(label=str(index), evaluator="accuracy", metric="top1") for index in range(60)])
    store = Counting(f"sqlite:///{tmp_path / 'counted.db'}", now=Clock())
    found = table(
        store, scored(store, {(arm, seed): 0.5 + seed / 100 for arm in arms for seed in range(2)}, tables=tables)
    )
    assert sum(len(line) for line in found.cells) == 30 * 60
    assert store.asked == 30 * 2
    store.close()
