"""Partial specs of invalid specs, and the typed spec of a valid one."""

import copy
from typing import Any

from pydantic import TypeAdapter

from orchestrator.intake.partial import Part, PartialFork
from orchestrator.intake.salvage import read_part, salvage
from orchestrator.spec import Fork
from tests.orchestrator.intake.builders import EXAMPLE, changed
from trainer.core.data import DataSpec
from trainer.methods import SEAL, MethodSpec
from trainer.spec import TrainSettings

METHOD: TypeAdapter[Any] = TypeAdapter(MethodSpec)
FORK = {"arm": "llf", "generation": 1}


def test_the_partial_spec_of_a_valid_spec_is_complete() -> None:
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


def test_the_partial_spec_beside_a_mistake_equals_that_of_the_valid_spec() -> None:
    """A partial spec is the same whether it is made from a typed spec or part by part."""
    raw = changed(("/arms/2/fork", FORK), ("/search", None))
    _, whole, _ = salvage(copy.deepcopy(raw))
    spec, partial, problems = salvage(raw | {"zzz": 1})
    assert spec is None
    assert [problem.pointer for problem in problems] == ["/zzz"]
    assert partial == whole


def test_fields_that_are_not_given_have_defaults() -> None:
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


def test_nothing_is_read_of_a_part_that_is_invalid_as_a_whole() -> None:
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


def test_invalid_names_are_kept_so_that_references_to_them_are_valid() -> None:
    raw = changed(("/arms/1/name", "LLF!"), ("/evaluations/0/evaluator/name", "acuracy"))
    _, partial, _ = salvage(raw)
    assert "LLF!" in partial.by_name
    assert partial.evaluations[0] is not None
    assert (partial.evaluations[0].name, partial.evaluations[0].evaluator.value) == ("acuracy", None)


def test_an_invalid_training_setting_is_left_out() -> None:
    _, partial, _ = salvage(changed(("/train/epochs", "24"), document=EXAMPLE))
    assert partial.train.wrong == {"epochs"}
    assert (partial.train.field("epochs"), partial.train.field("generations")) == (None, 8)
