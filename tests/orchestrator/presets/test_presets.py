"""The list of presets, and how a spec is expanded from the one that it names."""

import pytest

from orchestrator import intake, presets
from orchestrator import plan as planning
from orchestrator.problems import InvalidSpec
from orchestrator.store import Store
from tests.orchestrator.presets.builders import DIGITS, PAPER, read


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


def test_the_fields_of_a_spec_replace_the_presets(store: Store) -> None:
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


def test_the_released_codes_recipe_replaces_the_fields_that_it_sets(store: Store) -> None:
    """The preset states learning rate and warm-up; a recipe that is asked for by name replaces them with its own."""
    spec, _, _ = read(store, {"preset": "paper/table-2", "train": {"recipe": "official-code"}})
    assert (spec.train.lr, spec.train.schedule.warmup_epochs, spec.train.epochs) == (0.1, 20, 160)
    seal = spec.arm("seal").method
    assert seal is not None
    assert seal.model_dump()["ascent_weight_decay"] == "zero"
    spec, _, _ = read(store, {"preset": "paper/table-2", "train": {"recipe": "official-code", "lr": 0.3}})
    assert (spec.train.lr, spec.train.schedule.warmup_epochs) == (0.3, 20)


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
