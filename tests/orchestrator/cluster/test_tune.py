"""Tests that a Tune trial evaluates its job, in this process."""

from pathlib import Path

import pytest

from evaluators.evaluate import evaluate
from evaluators.features.bank import Bank
from evaluators.linear_probe import LinearProbe
from orchestrator.cluster.payloads import Job
from orchestrator.cluster.tune import evaluate_job, feature_bank
from tests.trainer.builders import CPU
from trainer.core import checkpoint, models
from trainer.core.data import named
from trainer.core.data.digits import DigitsNoisy
from trainer.core.determinism import fingerprint
from trainer.core.state import TrainState

MODEL = models.DigitsResNet(width=2)
PROBE = LinearProbe(targets=("digits-0-4",), epochs=1, train_per_class=2)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job whose target has other classes than its source. The plan leaves out the target's default settings."""
    folder = tmp_path / "g0000"
    checkpoint.save(folder, TrainState(models.build(MODEL, classes=10, seed=5), seed=5), "key", fingerprint(CPU))
    source = DigitsNoisy(train_per_class=2).model_dump(mode="json")
    settings = {"name": "linear-probe", "targets": ["digits-0-4"], "epochs": 1, "train_per_class": 2}
    return Job(
        key="key",
        title="title",
        checkpoint=str(folder),
        model=MODEL.model_dump(mode="json"),
        source=source,
        target={"name": "digits-0-4"},
        evaluator=settings,
    )


def test_a_trial_returns_the_record_of_its_evaluation(job: Job, tmp_path: Path) -> None:
    model = models.build(MODEL, classes=10, seed=5)
    expected = evaluate(PROBE, model, DigitsNoisy(train_per_class=2), named("digits-0-4"))
    expected["details"]["seconds"] = 2.5
    for bank in (Bank(), Bank(tmp_path / "features"), Bank(tmp_path / "features")):
        assert evaluate_job(job, bank, CPU, iter((10.0, 12.5)).__next__) == expected
    assert len(list((tmp_path / "features").glob("*.npy"))) == 2
    assert expected["details"]["source"].startswith("digits-noisy#")


def test_the_capacity_for_features_also_limits_each_entry() -> None:
    assert feature_bank("/features", 0) == Bank()
    assert feature_bank("/features", 20) == Bank(Path("/features"), 21_474_836_480, 1_073_741_824)
    assert feature_bank("/features", 0.5) == Bank(Path("/features"), 536_870_912, 536_870_912)
