"""Each twin is a small version of its preset."""

import pytest

from orchestrator import presets
from orchestrator.estimate.epochs import epoch_totals
from orchestrator.store import Store
from tests.orchestrator.presets.builders import DIGITS, TABLES, read


@pytest.mark.parametrize("name", DIGITS)
def test_a_twin_is_accepted_as_it_is(store: Store, name: str) -> None:
    spec, plan, missing = read(store, {"preset": name})
    assert missing == []
    assert spec.seeds == ((0,) if name == "digits/all" else (0, 1, 2))
    assert epoch_totals(spec, plan)["shared"] < 2000


@pytest.mark.parametrize("name", ["digits/table-2", "digits/table-9"])
def test_the_recipe_of_a_twin_is_its_own_where_the_released_codes_is_asked_for(store: Store, name: str) -> None:
    spec, _, _ = read(store, {"preset": name, "train": {"recipe": "official-code", "epochs": 40}})
    assert (spec.train.lr, spec.train.schedule.warmup_epochs) == (0.05, 0)


@pytest.mark.parametrize("name", [*TABLES, "all"])
def test_a_twin_has_the_shape_of_its_preset(name: str) -> None:
    """A twin has as many arms, evaluations, tables, rows and columns, except for what the small network lacks."""
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
def test_a_twin_never_mentions_the_papers_data_and_numbers(name: str) -> None:
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
