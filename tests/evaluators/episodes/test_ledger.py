import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from evaluators.episodes import ledger as episodes
from evaluators.episodes.ledger import Ledger, draw, labels_of
from evaluators.few_shot import FewShot
from trainer.core.data import Dataset, named

LABELS = torch.arange(8).repeat_interleave(30)


def few(target: str = "any", seed: int = 0, count: int = 60) -> Ledger:
    return draw(target, LABELS, ways=5, shots=5, queries=15, episodes=count, seed=seed)


def test_an_episode_holds_distinct_images_of_its_classes() -> None:
    ledger = few()
    ledger.check(LABELS)
    support, query = ledger.support_ES[0], ledger.query_EQ[0]
    assert len(set(support.tolist()) | set(query.tolist())) == 5 * 20
    classes = LABELS[support][::5]
    assert len(set(classes.tolist())) == 5
    assert torch.equal(LABELS[support], classes.repeat_interleave(5))
    assert torch.equal(LABELS[query], classes.repeat_interleave(15))


def test_every_episode_is_different_and_every_image_is_drawn() -> None:
    ledger = few()
    assert len({tuple(support) for support in ledger.support_ES.tolist()}) == 60
    assert len(set(ledger.support_ES.flatten().tolist())) == 240
    assert not torch.equal(ledger.support_ES, few("other").support_ES)
    assert not torch.equal(ledger.support_ES, few(seed=1).support_ES)
    assert torch.equal(ledger.support_ES[:3], few(count=3).support_ES)


def test_the_digest_is_of_the_tasks_alone() -> None:
    ledger = few()
    assert ledger.digest == few().digest
    assert ledger.digest != few(count=59).digest
    swapped = Ledger(ledger.facts, ledger.support_ES.flip(0), ledger.query_EQ.flip(0))
    assert ledger.digest != swapped.digest


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    ledger = few()
    episodes.write(ledger, tmp_path / "ledger.json")
    again = episodes.read(tmp_path / "ledger.json")
    assert (again.facts, again.digest) == (ledger.facts, ledger.digest)
    assert torch.equal(again.query_EQ, ledger.query_EQ)
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]


def test_a_changed_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    episodes.write(few(count=2), path)
    raw = json.loads(path.read_text())
    raw["episodes"][1]["support"][0] += 1
    path.write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=r"says sha256 [0-9a-f]{12} but its episodes have .*: fetch it again"):
        episodes.read(path)
    path.write_text(json.dumps(raw | {"format": 7}))
    with pytest.raises(ValueError, match="has format 7; this version reads 1"):
        episodes.read(path)
    for text in ("{}", "[]", "no JSON", json.dumps(raw | {"episodes": [{"support": "x"}]})):
        path.write_text(text)
        with pytest.raises(ValueError, match="is not a ledger of episodes"):
            episodes.read(path)


@pytest.mark.parametrize(
    ("support", "query"),
    [
        ([[0, 30]], [[0, 31]]),  # an image is support and query
        ([[0, 1]], [[2, 3]]),  # both classes are the same
        ([[0, 30]], [[1, 60]]),  # the query's class is not the support's
    ],
)
def test_an_impossible_episode_is_refused(support: list[list[int]], query: list[list[int]]) -> None:
    facts = episodes.Facts(
        "any",
        episodes.labels_digest(LABELS),
        ways=2,
        shots=1,
        queries=1,
        seed=None,
    )
    with pytest.raises(ValueError, match="repeats an image or mixes classes"):
        Ledger(facts, torch.tensor(support), torch.tensor(query)).check(LABELS)
    Ledger(facts, torch.tensor([[0, 30]]), torch.tensor([[1, 31]])).check(LABELS)


@pytest.mark.parametrize(
    ("support", "query", "message"),
    [
        ([[0, 30]], [[-239, 31]], "names images beyond the 240 of 'any'"),
        ([[0, 30]], [[1, 240]], "names images beyond the 240 of 'any'"),
        ([[0, 30, 60, 90]], [[1, 31]], "has episodes of other sizes"),
        ([[0, 30], [0, 30]], [[1, 31]], "has episodes of other sizes"),
    ],
)
def test_rows_that_cannot_be_are_refused(support: list[list[int]], query: list[list[int]], message: str) -> None:
    facts = episodes.Facts(
        "any",
        episodes.labels_digest(LABELS),
        ways=2,
        shots=1,
        queries=1,
        seed=None,
    )
    with pytest.raises(ValueError, match=message):
        Ledger(facts, torch.tensor(support), torch.tensor(query)).check(LABELS)


def test_a_ledger_of_other_images_is_refused() -> None:
    with pytest.raises(ValueError, match="of 'any' was drawn on other images"):
        few().check(LABELS.flip(0))


def test_an_imported_ledger_is_what_a_run_uses(
    network: nn.Module, digits: Dataset, edges: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path))
    settings = {"targets": ["digits-edges"], "shots": [2], "episodes": 3, "epochs": 2}
    labels_N = labels_of(edges)
    other = draw("digits-edges", labels_N, 5, 2, 15, 3, seed=9)
    spec = FewShot.model_validate(settings | {"ledgers": [other.digest]})
    (problem,) = spec.problems(named("digits-edges"))
    assert problem == ("ledgers/0", f"no ledger {other.digest[:12]} is imported: relearn episodes import FILE")
    episodes.write(other, episodes.folder() / f"{other.digest}.json")
    assert spec.problems(named("digits-edges")) == []
    found = spec.run(network, digits, edges)
    assert found.digests == {"2shot": other.digest}
    renamed = Ledger(dataclasses.replace(other.facts, target="theirs"), other.support_ES, other.query_EQ)
    episodes.write(renamed, episodes.folder() / f"{other.digest}.json")
    assert spec.run(network, digits, edges) == found, "the digest is of the tasks alone, so are the scores"
    assert found.curves != FewShot.model_validate(settings).run(network, digits, edges).curves


def test_a_ledger_of_another_shape_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path))
    ledger = few()
    episodes.write(ledger, episodes.folder() / f"{ledger.digest}.json")
    spec = FewShot.model_validate(
        {"targets": ["digits-edges"], "shots": [5], "episodes": 600, "ledgers": [ledger.digest]}
    )
    ((field, message),) = spec.problems(named("digits-edges"))
    assert field == "ledgers/0"
    foreign = spec.model_copy(update={"episodes": 60}).problems(named("digits-edges"))
    assert foreign == [
        ("ledgers/0", f"the ledger {ledger.digest[:12]} of 'any' was drawn on other images: import its own")
    ]
    assert message.endswith(
        "has (ways, shots, queries, episodes) (5, 5, 15, 60), the settings say (5, 5, 15, 600): make them agree"
    )
    two = FewShot.model_validate({"targets": ["digits-edges"], "shots": [1, 5], "ledgers": [ledger.digest]})
    assert two.problems(None) == [("ledgers", "1 ledgers for 2 numbers of shots: give one for each")]
