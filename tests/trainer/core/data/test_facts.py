"""The table of expected counts against the constants of the papers and the official lists, repeated here."""

from pathlib import Path

import pytest

from trainer.core.data import facts as module
from trainer.core.data.facts import FACTS, read
from trainer.core.data.sources import SOURCES

COUNTS = {
    "tiny-imagenet": (200, {"train": 100_000, "test": 10_000}),
    "cifar100": (100, {"train": 50_000, "test": 10_000}),
    "cifar10": (10, {"train": 50_000, "test": 10_000}),
    "flowers102": (102, {"train": 1_020, "val": 1_020, "test": 6_149}),
    "cub200": (200, {"train": 5_994, "test": 5_794}),
    "aircraft": (100, {"train": 3_334, "val": 3_333, "test": 3_333}),
    "mit67": (67, {"train": 5_360, "test": 1_340}),
    "dogs": (120, {"train": 12_000, "test": 8_580}),
    "chestx": (7, {"all": 25_848}),
    "isic2018": (7, {"all": 10_015}),
    "eurosat": (10, {"all": 27_000}),
    "cropdisease": (38, {"all": 43_456}),
}
TOTALS = {"flowers102": 8_189, "cub200": 11_788, "aircraft": 10_000, "mit67": 6_700, "dogs": 20_580}


@pytest.mark.parametrize("name", COUNTS)
def test_classes_and_counts(name: str) -> None:
    facts = FACTS[name]
    assert (facts.classes, dict(facts.splits)) == COUNTS[name]
    assert sum(facts.splits.values()) == TOTALS.get(name, sum(COUNTS[name][1].values()))


def test_every_adapter_has_its_facts_and_the_other_way_round() -> None:
    assert SOURCES.keys() == FACTS.keys() == COUNTS.keys() | {"folder"}
    assert all(name == facts.name for name, facts in FACTS.items())


def test_the_few_shot_targets() -> None:
    assert {name for name, facts in FACTS.items() if facts.cdfsl} == {"chestx", "isic2018", "eurosat", "cropdisease"}
    assert all(FACTS[name].splits.keys() == {"all"} for name in ("chestx", "isic2018", "eurosat", "cropdisease"))


@pytest.mark.parametrize("name", ["chestx", "isic2018", "eurosat"])
def test_the_counts_of_the_classes_add_up(name: str) -> None:
    counts = FACTS[name].class_counts
    assert counts is not None
    assert (len(counts), sum(counts.values())) == (COUNTS[name][0], sum(COUNTS[name][1].values()))


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_every_archive_can_be_fetched_and_told_apart(name: str) -> None:
    archives = FACTS[name].archives
    assert archives
    assert len({each.name for each in archives}) == len(archives)
    assert any(each.packed for each in archives)
    for each in archives:
        assert each.url.startswith(("http://", "https://"))
        assert each.md5 is None or len(each.md5) == 32
        assert each.sha256 is None or len(each.sha256) == 64


def test_only_kaggle_asks_for_a_login() -> None:
    assert {name for name, facts in FACTS.items() if facts.login} == {"cropdisease"}


TOML = Path(module.__file__).with_name("facts.toml").read_text()


@pytest.mark.parametrize(
    ("line", "instead", "complaint"),
    [
        ("flip = true", "", "flip"),
        ("flip = true", 'flip = "yes"', "flip"),
        ("flip = true", "flip = true\nflips = true", "flips"),
        ("std = [0.229, 0.224, 0.225]", "std = [0.229, 0.224]", "std"),
        ("native_px = [64, 64]", "native_px = [64.5, 64]", "native_px"),
        ('md5 = "90528d7ca1a48142e341f4ef8d21d0de"', "md5 = 90528", "md5"),
    ],
)
def test_a_wrong_line_is_refused_by_the_name_of_its_field(
    tmp_path: Path, line: str, instead: str, complaint: str
) -> None:
    path = tmp_path / "facts.toml"
    path.write_text(TOML)
    assert read(path) == FACTS
    assert line in TOML
    path.write_text(TOML.replace(line, instead, 1))
    with pytest.raises(ValueError, match=complaint):
        read(path)
