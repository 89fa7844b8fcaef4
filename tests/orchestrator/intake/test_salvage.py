"""What can be read of a spec that is wrong, and that a right one is read once."""

import copy
from typing import Any

from pydantic import TypeAdapter

from orchestrator.intake.partial import Part, PartialFork
from orchestrator.intake.salvage import read_part, salvage
from orchestrator.spec import Fork
from tests.orchestrator.intake.test_check import EXAMPLE, changed
from trainer.core.data import DataSpec
from trainer.methods import SEAL, MethodSpec
from trainer.spec import TrainSettings

METHOD: TypeAdapter[Any] = TypeAdapter(MethodSpec)
FORK = {"arm": "llf", "generation": 1}


def test_a_right_spec_is_whole() -> None:
    spec, partial, problems = salvage(changed(("/arms/2/fork", FORK)))
    assert spec is not None
    assert problems == []
    assert [arm and arm.name for arm in partial.arms] == ["normal", "llf", "seal"]
    assert [arm and arm.method for arm in partial.arms] == [Part(arm.method) for arm in spec.arms]
    assert partial.arms[2] is not None
    assert partial.arms[2].fork == PartialFork("llf", 1, outside=False)
    assert (partial.data, partial.train, partial.seeds) == (Part(spec.data), Part(spec.train), (0, 1, 2))
    assert [each and each.evaluator.whole for each in partial.evaluations] == [
        each.evaluator for each in spec.evaluations
    ]


def test_what_is_salvaged_beside_a_mistake_is_what_a_right_spec_says() -> None:
    """The two ways to a partial spec, from the typed spec and part by part, give the same."""
    raw = changed(("/arms/2/fork", FORK), ("/search", None))
    _, whole, _ = salvage(copy.deepcopy(raw))
    spec, partial, problems = salvage(raw | {"zzz": 1})
    assert spec is None
    assert [problem.pointer for problem in problems] == ["/zzz"]
    assert partial == whole


def test_defaults_stand_where_nothing_is_given() -> None:
    _, partial, _ = salvage({})
    assert (partial.train, partial.seeds, partial.search) == (Part(TrainSettings()), (0,), None)
    assert partial.model.whole is not None
    assert partial.data == Part(None)
    assert (partial.arms, partial.evaluations, partial.tables) == ((), (), ())


def test_a_part_is_read_without_its_wrong_fields() -> None:
    raw = {"name": "seal", "ascent_scale": -1, "ascent_epochs": 2, "seal": 1}
    assert read_part(METHOD, raw) == Part(SEAL(ascent_epochs=2), frozenset({"ascent_scale", "seal"}))
    part = read_part(METHOD, raw)
    assert part.whole is None
    assert part.field("ascent_scale") is None
    assert part.field("ascent_epochs") == 2


def test_of_what_is_wrong_as_a_whole_nothing_is_read() -> None:
    unreadable: list[object] = [None, 5, [], "seal", {}, {"name": "sael"}, {"name": []}]
    for raw in unreadable:
        assert read_part(METHOD, raw).value is None
    assert read_part(TypeAdapter(Fork), {"arm": "llf", "generation": "1"}) == Part(None, frozenset({"generation"}))
    assert (
        read_part(TypeAdapter[Any](DataSpec), {"name": "digits-noisy", "label_noise": 2}).field("name")
        == "digits-noisy"
    )


def test_a_fork_is_read_field_by_field() -> None:
    def fork(given: object) -> PartialFork | None:
        arm = salvage(changed(("/arms/2/fork", given)))[1].arms[2]
        assert arm is not None
        return arm.fork

    assert fork({"arm": "lff", "generation": "1"}) == PartialFork("lff", None, outside=False)
    assert fork({"arm": 5, "generation": -1, "experiment": 3}) == PartialFork(None, None, outside=True)
    assert fork("llf") is None


def test_items_that_cannot_be_read_keep_the_others_at_their_index() -> None:
    raw = changed(
        ("/arms/0", 5),
        ("/seeds", [1, "2", True, 1]),
        ("/evaluations/0", []),
        ("/evaluations/1/on", ["first", 1.5, 7, 2000]),
        ("/evaluations/1/arms", ["llf", 3]),
        ("/evaluations/2/arms", "llf"),
        ("/tables", ["x", {"name": "t"}]),
    )
    before = copy.deepcopy(raw)
    _, partial, _ = salvage(raw)
    assert raw == before
    assert [arm and arm.name for arm in partial.arms] == [None, "llf", "seal"]
    assert list(partial.by_name) == ["llf", "seal"]
    assert partial.seeds == (1, None, None, 1)
    assert partial.evaluations[0] is None
    assert partial.evaluations[1] is not None
    assert (partial.evaluations[1].on, partial.evaluations[1].arms) == (("first", None, 7, None), ("llf", None))
    assert partial.evaluations[2] is not None
    assert partial.evaluations[2].arms == ()
    assert partial.tables[0] is None
    assert partial.tables[1] is not None
    assert (partial.tables[1].name, partial.tables[1].table.value) == ("t", None)


def test_names_are_as_they_were_written_so_that_what_refers_to_them_is_not_wrong_too() -> None:
    raw = changed(("/arms/1/name", "LLF!"), ("/evaluations/0/evaluator/name", "acuracy"))
    _, partial, _ = salvage(raw)
    assert "LLF!" in partial.by_name
    assert partial.evaluations[0] is not None
    assert (partial.evaluations[0].name, partial.evaluations[0].evaluator.value) == ("acuracy", None)


def test_the_example_is_salvaged_without_its_wrong_train() -> None:
    _, partial, _ = salvage(changed(("/train/epochs", "24"), document=EXAMPLE))
    assert partial.train.wrong == {"epochs"}
    assert (partial.train.field("epochs"), partial.train.field("generations")) == (None, 8)
