"""The whole paper as one preset: it shares the networks and evaluations of its parts."""

import pytest

from orchestrator import presets
from orchestrator.presets.compose import composed
from orchestrator.store import Store
from tests.orchestrator.presets.builders import TABLES, generations, read


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
