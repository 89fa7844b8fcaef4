import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from api.cli.__main__ import main
from evaluators.episodes.ledger import draw, labels_of, read, write
from evaluators.few_shot import FewShot
from trainer.core.data import named

EXPORT = ["episodes", "export", "digits-edges", "--shots", "2", "--episodes", "7"]


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path / "data"))


def test_exported_episodes_are_those_that_a_run_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*EXPORT, "--out", str(tmp_path / "out.json")]) == 0
    expected = draw("digits-edges", labels_of(named("digits-edges").load()), 5, 2, 15, 7, seed=0)
    assert read(tmp_path / "out.json").digest == expected.digest
    assert capsys.readouterr().out.endswith(f"7 episodes, sha256 {expected.digest}\n")


def test_an_imported_ledger_is_listed_and_may_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = draw("digits-edges", labels_of(named("digits-edges").load()), 5, 2, 15, 7, seed=3)
    write(ledger, tmp_path / "theirs.json")
    assert main(["episodes", "import", str(tmp_path / "theirs.json")]) == 0
    assert capsys.readouterr().out == f'"ledgers": ["{ledger.digest}"]\n'
    assert main(["episodes", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["digits-edges", "5", "2", "15", "7", "3", ledger.digest]
    spec = FewShot(targets=("digits-edges",), shots=(2,), episodes=7, ledgers=(ledger.digest,))
    assert spec.problems(named("digits-edges")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["episodes", "export", "digits-edges", "--shots", "500", "--out", "x"],
            "500-shot with 15 queries needs 515 images",
        ),
        (["episodes", "export", "eurosat", "--shots", "5", "--out", "x"], "relearn data prepare eurosat"),
        (["episodes", "import", "absent.json"], "No such file or directory: 'absent.json'"),
    ],
)
def test_what_cannot_be_done_is_reported(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def record(path: Path, accuracies: list[float], digest: str) -> str:
    curves = {"5shot/episodes": accuracies}
    path.write_text(json.dumps({"scores": {}, "curves": curves, "details": {"digests": {"5shot": digest}}}))
    return str(path)


def test_scores_on_the_same_episodes_are_paired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report marks neither of these two as the best, because the same interval contains zero."""
    first = record(tmp_path / "first.json", [0.5, 0.7, 0.6, 0.2], "a")
    second = record(tmp_path / "second.json", [0.6, 0.7, 0.8, 0.3], "a")
    assert main(["episodes", "compare", first, second]) == 0
    # differences 0.1, 0, 0.2, 0.1: mean 0.1, sd 0.0816..., half width 3.1824 * 0.0816 / 2 = 0.1299
    expected = "5shot: +10.00 points, paired over n = 4 episodes, 95 % interval -2.99 to +22.99\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("n", [2, 3, 40, 600])
def test_the_interval_of_a_difference_is_that_of_scipys_paired_t_test(
    n: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = np.random.default_rng(n).uniform(size=(2, n))
    paths = (record(tmp_path / f"{name}.json", list(each), "a") for name, each in (("a", first), ("b", second)))
    assert main(["episodes", "compare", *paths]) == 0
    low, high = stats.ttest_rel(second, first).confidence_interval(0.95)
    expected = f"n = {n} episodes, 95 % interval {100 * low:+.2f} to {100 * high:+.2f}\n"
    assert capsys.readouterr().out.endswith(expected)


def test_a_single_episode_has_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = record(tmp_path / "first.json", [0.5], "a"), record(tmp_path / "second.json", [0.75], "a")
    assert main(["episodes", "compare", first, second]) == 0
    assert capsys.readouterr().out.endswith(
        "+25.00 points, paired over n = 1 episodes, a single episode has no interval\n"
    )


def test_records_whose_episodes_contradict_their_digest_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = record(tmp_path / "first.json", [0.5], "a"), record(tmp_path / "second.json", [0.6, 0.7], "a")
    assert main(["episodes", "compare", first, second]) == 2
    assert capsys.readouterr().err.endswith("second.json 2, under one digest: evaluate both again\n")


def test_scores_on_other_episodes_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = record(tmp_path / "first.json", [0.5], "a"), record(tmp_path / "second.json", [0.6], "b")
    assert main(["episodes", "compare", first, second]) == 2
    assert "were not scored on the same episodes" in capsys.readouterr().err
