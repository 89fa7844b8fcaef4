"""The cost of the presets: epochs if every network is trained separately, and epochs as they are shared."""

import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store import Store
from tests.orchestrator.builders import small
from tests.orchestrator.presets.builders import TABLES, cost, read

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "presets.md"


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
    documented = {name: [int(number.replace(",", "")) for number in numbers.split("|")] for name, numbers in rows}
    assert set(documented) == {*TABLES, "all"}
    for name, numbers in documented.items():
        seeds = len(read(store, {"preset": f"digits/{name}"})[0].seeds)
        assert [*cost(store, {"preset": f"paper/{name}"}), *cost(store, {"preset": f"digits/{name}"}), seeds] == numbers


def test_epochs_of_a_small_case_counted_by_hand(store: Store) -> None:
    """There are three generations of 3 epochs.

    Normal is evaluated after 1 and 3 generations and SEAL after 3, which is 3 + 9 + 9 epochs if trained separately.
    Shared, there are the 9 of Normal and the other 6 of SEAL.
    """
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

    def evaluated(on: int) -> list[dict[str, Any]]:
        return [{"evaluator": {"name": "accuracy"}, "arms": ["seal"], "on": [on]}]

    arms = small()["arms"][1:]
    assert cost(store, small(arms=arms, train=train, tables=tables, evaluations=evaluated(2))) == (9, 9)
    assert cost(store, small(arms=arms, train=train, tables=tables, evaluations=evaluated(0))) == (3 + 6, 9)
    assert cost(store, small(arms=arms, train=train, tables=tables, evaluations=[])) == (6, 9)


def test_the_papers_sums_by_arithmetic_alone() -> None:
    """Separately, every network (method, G) is trained whole; shared, each recipe has one first generation."""
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
    """The sums of the test above from the plan of the preset.

    Each kind of arm has the epochs before its evaluations, and those of the generations that it adds to earlier arms.
    """
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
