"""The presets: that each is accepted, what it costs, what it shares, and that a twin is its preset in small."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import intake, presets
from orchestrator import plan as planning
from orchestrator.estimate import epochs as totals
from orchestrator.plan import Plan
from orchestrator.presets.compose import composed
from orchestrator.presets.open_settings import NOTES
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.spec import ExperimentSpec
from orchestrator.spec.tables import ReportTable
from orchestrator.store import Store
from tests.orchestrator.builders import small

TABLES = [*(f"table-{number}" for number in (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12)), "figure-2", "figure-3"]
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "presets.md"
PAPER = [f"paper/{name}" for name in [*TABLES, "all"]]
DIGITS = [f"digits/{name}" for name in [*TABLES, "all"]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('presets') / 'relearn.db'}")
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path / "nothing"))


def read(store: Store, raw: dict[str, Any]) -> tuple[ExperimentSpec, Plan, list[Problem]]:
    missing: list[Problem] = []
    spec = intake.read_spec(raw, store, missing=missing)
    return spec, planning.plan(spec), missing


def cost(store: Store, raw: dict[str, Any]) -> tuple[int, int]:
    spec, plan, _ = read(store, raw)
    found = totals.epochs(spec, plan)
    return found["separate"], found["shared"]


def generations(store: Store, name: str, changes: dict[str, Any] | None = None) -> dict[tuple[str, int], str]:
    """The key of each generation of each arm."""
    _, plan, _ = read(store, {"preset": name} | (changes or {}))
    return {(use.arm, use.generation): use.key for use in plan.uses if (use.kind, use.seed) == ("generation", 0)}


# --- what there is ---


def test_every_table_and_figure_is_there_once_for_the_paper_and_once_for_digits() -> None:
    assert set(presets.known()) == {*PAPER, *DIGITS}
    assert [name for name in presets.known() if "table" in name and "paper" in name] == PAPER[:11]
    for name, preset in presets.known().items():
        assert preset.reference == f"{name}@1"
        assert preset.about.endswith(".")
        assert preset.about.count(". ") == 0


@pytest.mark.parametrize("name", PAPER)
def test_a_paper_preset_is_accepted_but_for_its_data(store: Store, name: str) -> None:
    spec, plan, missing = read(store, {"preset": name})
    assert (spec.name, spec.preset, spec.seeds) == (name.replace("/", "-"), f"{name}@1", (0,))
    assert plan.nodes
    assert {problem.code for problem in missing} == {"NOT_PREPARED"}
    with pytest.raises(InvalidSpec):
        intake.read_spec({"preset": name}, store)


@pytest.mark.parametrize("name", DIGITS)
def test_a_twin_is_accepted_as_it_is(store: Store, name: str) -> None:
    spec, plan, missing = read(store, {"preset": name})
    assert missing == []
    assert spec.seeds == ((0,) if name == "digits/all" else (0, 1, 2))
    assert totals.epochs(spec, plan)["shared"] < 2000


def test_what_a_researcher_says_takes_the_place_of_the_presets(store: Store) -> None:
    spec, _, _ = read(
        store, {"preset": "digits/table-2", "name": "mine", "seeds": [7], "train": {"epochs": 3, "lr": 0.1}}
    )
    assert (spec.name, spec.seeds) == ("mine", (7,))
    assert (spec.train.epochs, spec.train.lr, spec.train.generations) == (3, 0.1, 4)
    arms = [{"name": "normal", "method": {"name": "normal"}}]
    assert (
        intake.read_spec({"preset": "digits/table-2", "arms": arms, "evaluations": [], "tables": []}, store)
        .arms[0]
        .name
        == "normal"
    )


def test_the_released_codes_recipe_takes_the_place_of_what_it_decides(store: Store) -> None:
    """Learning rate and warm-up are written out in the preset; asked for by name, the other recipe's values stand there."""
    spec, _, _ = read(store, {"preset": "paper/table-2", "train": {"recipe": "official-code"}})
    assert (spec.train.lr, spec.train.schedule.warmup_epochs, spec.train.epochs) == (0.1, 20, 160)
    seal = spec.arm("seal").method
    assert seal is not None
    assert seal.model_dump()["ascent_weight_decay"] == "zero"
    spec, _, _ = read(store, {"preset": "paper/table-2", "train": {"recipe": "official-code", "lr": 0.3}})
    assert (spec.train.lr, spec.train.schedule.warmup_epochs) == (0.3, 20)


@pytest.mark.parametrize("name", ["table-2", "table-9", "table-10", "table-11"])
def test_the_released_codes_recipe_gives_a_table_the_same_networks_alone_and_in_the_whole_paper(
    store: Store, name: str
) -> None:
    official = {"train": {"recipe": "official-code"}}
    assert generations(store, f"paper/{name}", official).items() <= generations(store, "paper/all", official).items()


def test_the_released_codes_recipe_leaves_the_training_on_cifar_alone(store: Store) -> None:
    official = {"train": {"recipe": "official-code"}}
    whole, _, _ = read(store, {"preset": "paper/all"} | official)
    for name in ("table-9", "table-10"):
        ours, _, _ = read(store, {"preset": f"paper/{name}"})
        theirs, _, _ = read(store, {"preset": f"paper/{name}"} | official)
        for spec in (theirs, whole):
            for arm in ours.arms:
                assert spec.train_of(spec.arm(arm.name)) == ours.train.model_copy(update={"recipe": "official-code"})
    assert (whole.train.lr, whole.train.schedule.warmup_epochs) == (0.1, 20)
    assert whole.train_of(whole.arm("seal-e60")).schedule.warmup_epochs == 20


@pytest.mark.parametrize("name", ["digits/table-2", "digits/table-9"])
def test_the_recipe_of_a_twin_is_its_own_where_the_released_codes_is_asked_for(store: Store, name: str) -> None:
    spec, _, _ = read(store, {"preset": name, "train": {"recipe": "official-code", "epochs": 40}})
    assert (spec.train.lr, spec.train.schedule.warmup_epochs) == (0.05, 0)


@pytest.mark.parametrize("name", ["paper/table-2", "digits/table-2"])
def test_footnotes_stay_true_below_a_spec_that_says_otherwise(store: Store, name: str) -> None:
    """What a spec may change is told as the preset's."""
    spec, _, _ = read(store, {"preset": name, "seeds": [0, 1, 2], "train": {"recipe": "official-code", "epochs": 40}})
    notes = [note for table in spec.tables for note in table.notes]
    told = [note for note in notes if re.search("seed|[Ll]earning rate|tenth|S is 2", note)]
    assert told
    for note in told:
        assert note.startswith(("The preset", "SEAL's open points, as the preset has them")), note


def test_an_expanded_spec_stays_as_it_was_edited(store: Store) -> None:
    raw = presets.known()["digits/table-2"].expanded()
    assert presets.expand(raw) == (raw, [])
    assert (
        planning.plan(intake.read_spec(raw, store)).nodes.keys()
        == read(store, {"preset": "digits/table-2"})[1].nodes.keys()
    )
    assert intake.read_spec(raw | {"tables": []}, store).tables == ()
    spec = intake.read_spec(raw, store)
    assert intake.read_spec(spec.model_dump(mode="json"), store) == spec


def test_an_unknown_preset_or_version_is_refused_with_what_there_is(store: Store) -> None:
    for reference, suggestion in (("paper/tabel-2", "paper/table-2"), ("paper/table-2@9", "paper/table-2@1")):
        with pytest.raises(InvalidSpec) as error:
            intake.read_spec({"preset": reference}, store)
        assert [(each.pointer, each.suggestion) for each in error.value.problems] == [("/preset", suggestion)]
    assert intake.read_spec({"preset": "digits/table-2@1"}, store).preset == "digits/table-2@1"


# --- what it costs ---


@pytest.mark.parametrize(
    ("name", "separate", "shared"),
    [
        ("paper/table-1", 4960, 4480),  # 31 generations of 160; 1 + 9 x 3 chains
        ("paper/table-2", 6400, 4480),  # 14 + 13 + 13
        ("paper/table-4", 4960, 4480),
        ("paper/table-5", 4960, 4480),
        ("paper/table-6", 4960, 4480),
        ("paper/table-7", 10560, 7360),  # 14 + 4 x 13; 1 + 9 x 5 chains
        ("paper/table-8", 6400, 4480),
        ("paper/table-9", 10168, 5248),
        ("paper/table-10", 1200, 600),
        ("paper/table-11", 12160, 8800),  # 13 generations of 160 and 14 of each of the other 720; 10 of all 880
        ("paper/table-12", 4960, 4480),
        ("paper/figure-2", 4960, 4480),
        ("paper/figure-3", 7840, 4480),  # 17 + 16 + 16
        ("paper/all", 43368, 26328),
        ("digits/table-2", 912, 480),  # three seeds of 1+2+4, 2+4, 2+4 generations of 16; 1 + 3 x 3 chains
        ("digits/table-9", 2256, 816),
        ("digits/table-10", 360, 180),
        ("digits/all", 2416, 1084),
    ],
)
def test_epochs_of_a_preset(store: Store, name: str, separate: int, shared: int) -> None:
    assert cost(store, {"preset": name}) == (separate, shared)


def test_the_documentation_has_the_epochs_of_every_preset(store: Store) -> None:
    rows = re.findall(r"^\| `((?:table|figure)-\d+|all)` \|[^|]*\|(.*)\|$", DOCUMENTATION.read_text(), re.MULTILINE)
    told = {name: [int(number.replace(",", "")) for number in numbers.split("|")] for name, numbers in rows}
    assert set(told) == {*TABLES, "all"}
    for name, numbers in told.items():
        seeds = len(read(store, {"preset": f"digits/{name}"})[0].seeds)
        assert [*cost(store, {"preset": f"paper/{name}"}), *cost(store, {"preset": f"digits/{name}"}), seeds] == numbers


def test_epochs_of_a_small_case_counted_by_hand(store: Store) -> None:
    """Three generations of 3 epochs. Normal is judged after 1 and 3, SEAL after 3: 3 + 9 + 9; shared: 9 and SEAL's other 6."""
    accuracy = {"name": "accuracy"}
    raw = small(train=small()["train"] | {"generations": 3}) | {
        "evaluations": [
            {"evaluator": accuracy, "arms": ["normal"], "on": [0, 2]},
            {"evaluator": accuracy, "arms": ["seal"], "on": ["last"]},
        ]
    }
    assert cost(store, raw) == (21, 15)
    assert cost(store, raw | {"seeds": [0, 1]}) == (42, 30)
    assert cost(store, raw | {"evaluations": []}) == (18, 15)  # the last of each arm


def test_the_accuracy_while_training_asks_for_no_network_of_its_own_on_the_way(store: Store) -> None:
    rows = [{"label": "SEAL", "arm": "seal"}]
    columns = [
        {"label": f"G={g + 1}", "generation": g, "evaluator": "training", "metric": "test_accuracy/last"}
        for g in (0, 1)
    ]
    tables = [{"name": "t", "caption": "c", "rows": rows, "columns": columns}]
    train = small()["train"] | {"generations": 3}

    def judged(on: int) -> list[dict[str, Any]]:
        return [{"evaluator": {"name": "accuracy"}, "arms": ["seal"], "on": [on]}]

    arms = small()["arms"][1:]
    assert cost(store, small(arms=arms, train=train, tables=tables, evaluations=judged(2))) == (9, 9)
    assert cost(store, small(arms=arms, train=train, tables=tables, evaluations=judged(0))) == (3 + 6, 9)
    assert cost(store, small(arms=arms, train=train, tables=tables, evaluations=[])) == (6, 9)


def test_the_papers_sums_by_arithmetic_alone() -> None:
    """Separate: every network (method, G) by itself. Shared: one first generation per recipe, then each chain once."""
    normal, llf, seal, ablations = {1, 2, 3, 4, 10}, {2, 3, 4, 10}, {2, 3, 4, 10}, 3 * (3 + 10)
    r50 = 160 * (sum(normal) + sum(llf) + sum(seal) + ablations), 160 * (1 + 9 * 6)
    r18 = 160 * (1 + 3 + 10 + 2 * (3 + 10)), 160 * (1 + 9 * 3)
    other = sum((60, 70, 80, 90, 100, 120, 200))
    t11 = other * (1 + 3 + 10), other * 10
    ban, yang, own = sum(g + 1 for g in (0, 1, 2, 3, 4, 10)), 11, sum(g + 1 for g in (1, 2, 3, 4, 10))
    t9 = 164 * (ban + yang + own), 164 * (11 + 11 + 10)
    t10 = 200 * (1 + 2 + 1 + 2), 200 * (1 + 1 + 1)
    assert (r50, r18, t11, t9, t10) == ((15520, 8800), (6400, 4480), (10080, 7200), (10168, 5248), (1200, 600))
    assert tuple(map(sum, zip(r50, r18, t11, t9, t10, strict=True))) == (43368, 26328)


def test_the_blocks_of_the_whole_paper_by_the_arms_of_its_plan(store: Store) -> None:
    """The same sums from the plan: what each kind of arm is judged after, and which generations it adds to those before."""
    spec, plan, _ = read(store, {"preset": "paper/all"})
    sums: dict[str, list[int]] = {}
    for arm in spec.arms:
        block = re.sub("-(normal|llf|seal|born-again|tolerant-teacher|self-distillation).*", "", f"resnet50-{arm.name}")
        block = re.sub("^resnet50-(?=resnet)", "", block) if not re.search(r"-e\d+$", arm.name) else "other E"
        block = next((kind for kind in ("resnet18-cifar", "resnet110", "resnet18") if arm.name.startswith(kind)), block)
        asked = {use.generation for use in plan.uses if (use.kind, use.arm) == ("evaluation", arm.name)}
        found = sums.setdefault(block, [0, 0])
        found[0] += sum(generation + 1 for generation in asked) * spec.train_of(arm).epochs
        found[1] += (
            sum(n.arm == arm.name and n.kind == "generation" for n in plan.nodes.values()) * spec.train_of(arm).epochs
        )
    assert sums == {
        "resnet50": [15520, 8800],
        "resnet18": [6400, 4480],
        "other E": [10080, 7200],
        "resnet110": [10168, 5248],
        "resnet18-cifar": [1200, 600],
    }


# --- what is shared ---


@pytest.mark.parametrize("folder", ["paper", "digits"])
@pytest.mark.parametrize("name", TABLES)
def test_the_keys_of_generations_do_not_depend_on_which_preset_asked(store: Store, folder: str, name: str) -> None:
    whole = generations(store, f"{folder}/all")
    assert generations(store, f"{folder}/{name}").items() <= whole.items()


def test_the_tables_of_the_three_long_chains_need_the_same_networks(store: Store) -> None:
    of_table_1 = generations(store, "paper/table-1")
    for name in ("table-2", "table-4", "table-5", "table-6", "figure-2", "figure-3"):
        assert generations(store, f"paper/{name}") == of_table_1
    assert of_table_1["normal", 0] == of_table_1["llf", 0] == of_table_1["seal", 0]


def test_evaluations_of_the_whole_paper_are_those_of_its_parts(store: Store) -> None:
    def evaluations(name: str) -> set[str]:
        return {key for key, node in read(store, {"preset": name})[1].nodes.items() if node.kind == "evaluation"}

    assert evaluations("paper/all") == set().union(*(evaluations(f"paper/{name}") for name in TABLES))


def test_two_parts_with_one_name_for_two_networks_are_refused() -> None:
    one = presets.known()["paper/table-2"].spec
    other = one | {"arms": [{"name": "seal", "method": {"name": "seal", "ascent_scale": 0.5}}], "evaluations": []}
    with pytest.raises(ValueError, match="first and second both have an arm 'seal', with different method: give one"):
        composed({"first": one, "second": other})
    with pytest.raises(ValueError, match="both have an arm 'normal', with different model"):
        composed({"first": one, "second": one | {"model": {"name": "resnet18"}}})
    short = one | {
        "train": {name: value for name, value in one["train"].items() if name not in ("epochs", "batch_size")}
    }
    with pytest.raises(ValueError, match="the recipe of second must say batch_size, epochs"):
        composed({"first": one, "second": short})


# --- what it shows ---


@pytest.mark.parametrize("name", [*PAPER, *DIGITS])
def test_what_a_preset_prints_is_what_it_judges(store: Store, name: str) -> None:
    """Every number that the paper printed has a cell that is measured; a cell without one in such a table is not judged."""
    spec, plan, _ = read(store, {"preset": name})
    judged = {
        (use.arm, use.generation, node.evaluator["name"], node.target_label)
        for use in plan.uses
        if (node := plan.nodes[use.key]).evaluator is not None
    }
    for table in spec.tables:
        for row, column, cell in table.cells():
            assert cell.arm is not None
            arm = spec.arm(cell.arm)
            where = cell.arm, cell.generation, cell.evaluator, cell.dataset or spec.data_of(arm).label
            measured = cell.evaluator == "training" or where in judged
            assert measured or table.printed(row, column) is None
            if table.published is not None and table.name in ("table-2", "table-7", "table-8", "table-9"):
                assert measured == (table.printed(row, column) is not None)


def test_numbers_of_the_paper_stand_where_it_prints_them() -> None:
    def printed(preset: str, row: str, column: str, table: str | None = None) -> object:
        spec = presets.known()[f"paper/{preset}"].spec
        found = ReportTable.model_validate_json(
            json.dumps(next(t for t in spec["tables"] if t["name"] == (table or preset)))
        )
        rows, columns = ([axis.label for axis in axes] for axes in (found.rows, found.columns))
        return found.printed(rows.index(row), columns.index(column))

    assert printed("table-1", "SEAL", "Flower") == 45.68
    assert printed("table-2", "Gen=10", "SEAL") == 59.22
    assert printed("table-4", "SEAL", "CropDisease", "table-4-5shot-linear") == (85.0, 0.61)
    assert printed("table-5", "Normal", "ChestX", "table-5-50shot-affines") == (24.2, 0.40)
    assert printed("table-6", "LLF", "Negative %") == 14.63
    assert printed("table-7", "Gen=10", "SEAL+Reverse") == 41.05
    assert printed("table-8", "Gen=3", "LLF") == 52.36
    assert printed("table-9", "Gen=10 (printed: the best)", "Yang et al.") == 73.72
    assert printed("table-10", "Gen=Last (Student)", "SEAL") == 78.50
    assert printed("table-11", "Gen=3", "E=90") == 57.8
    assert printed("table-12", "LLF", "MIT") == 25.67
    assert printed("figure-3", "LLF, G=10", "Block4.1") == 45.62
    assert printed("table-2", "Gen=1", "LLF") is None


def test_every_open_setting_is_a_footnote_somewhere() -> None:
    shown = {note for name in PAPER for table in presets.known()[name].spec["tables"] for note in table["notes"]}
    assert shown == set(NOTES.values())
    for name in PAPER:
        for table in presets.known()[name].spec["tables"]:
            assert table.get("published") is None or table["source"].startswith("SEAL, CVPR 2023, ")


# --- twins ---


@pytest.mark.parametrize("name", [*TABLES, "all"])
def test_a_twin_has_the_shape_of_its_preset(name: str) -> None:
    """As many arms, evaluations and tables; rows and columns too, but for layers that the small network lacks."""
    large, tiny = (presets.known()[f"{folder}/{name}"].spec for folder in ("paper", "digits"))
    assert len(tiny["evaluations"]) == len(large["evaluations"])
    assert [arm["method"]["name"] for arm in tiny["arms"]] == [arm["method"]["name"] for arm in large["arms"]]
    for mine, theirs in zip(tiny["tables"], large["tables"], strict=True):
        layers = sum(axis.get("metric", "").startswith(("layer2.1", "layer3.2")) for axis in theirs["columns"])
        assert len(mine["columns"]) == len(theirs["columns"]) - layers
        gone = 5 if mine["name"] == "table-9-every-generation" else 0  # 11 generations are 6
        assert len(mine["rows"]) == len(theirs["rows"]) - gone
        assert len({axis["label"] for axis in mine["rows"]}) == len(mine["rows"])
        assert len({axis["label"] for axis in mine["columns"]}) == len(mine["columns"])


@pytest.mark.parametrize("name", DIGITS)
def test_a_twin_says_nothing_of_the_papers_data_and_numbers(name: str) -> None:
    preset = presets.known()[name]
    texts = [preset.spec["title"]]
    for table in preset.spec["tables"]:
        assert "published" not in table
        assert "source" not in table
        assert "not the paper's" in table["notes"][0]
        texts += [table["caption"], *(axis["label"] for axis in table["rows"] + table["columns"])]
    for word in (
        "ImageNet",
        "CIFAR",
        "ResNet-",
        "Flower",
        "ChestX",
        "CD-FSL",
        "50",
        "Gen=10",
        "G=10",
        "E=160",
        "seven",
    ):
        assert not any(word in text for text in texts), word


def test_the_twin_of_table_11_keeps_the_ratio_of_its_epochs(store: Store) -> None:
    spec, _, _ = read(store, {"preset": "digits/table-11"})
    epochs = {arm.name: spec.train_of(arm).epochs for arm in spec.arms}
    assert epochs == {"seal": 16, **{f"seal-e{e}": e for e in (6, 7, 8, 9, 10, 12, 20)}}
    assert [column.label for column in spec.tables[0].columns] == [f"E={e}" for e in (16, 6, 7, 8, 9, 10, 12, 20)]
