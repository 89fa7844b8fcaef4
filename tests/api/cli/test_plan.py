"""`relearn plan` as its users see it."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from api.cli import plan
from api.cli.__main__ import main
from api.deps import cluster_of
from tests.api.builders import FakeCluster, plan_of, serving, settings
from tests.orchestrator.builders import small

pytestmark = pytest.mark.usefixtures("clean_environment")


def printed(answer: dict[str, Any]) -> list[str]:
    file = io.StringIO()
    plan.print_plan(answer, Console(file=file, width=200))
    return [" ".join(line.split()) for line in file.getvalue().splitlines()]


def test_a_plan_is_printed_as_text(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as client:
        lines = printed(plan_of(client, small()))
    assert lines[0] == "small"
    for wanted in (
        "generations 4 3 0 0 3",
        "evaluations 2 2 0 0 2",
        "accuracy 2 2 0 0 2",
        "epochs 12 9 0 0 9",
        "steps 36 27 0 0 27",
        "generation 0 is common to normal, seal: 1 generation saved",
        "nothing was timed before ? ? ? `--measure` times a few steps",
        "no history of accuracy of resnet-digits on digits-noisy",
        "warning: with one seed there is no interval over seeds, so a difference between arms may be chance",
    ):
        assert wanted in lines
    (stored,) = (line for line in lines if line.startswith("storage: "))
    assert stored.startswith("storage: 243 kB are kept, at most 1.45 MB at a time: 3 checkpoints are kept as artifacts")


def test_hours_are_printed_in_a_unit_that_suits_them() -> None:
    hours: dict[str, Any] = {"p10": 0.0005, "p50": 0.25, "p90": 60.0}
    part = {"hours": hours, "units": 3125, "unit": "step", "what": "resnet50", "basis": "20 epochs"}
    wall = {"one_after_another": hours, "critical_path": hours, "lanes": hours | {"count": 4}}
    quote = {"parts": [part], "partial": False, "unknown": [], "wall_hours": wall, "gpu_hours": hours}
    file = io.StringIO()
    Console(file=file, width=200).print(plan._hours(quote))
    lines = [" ".join(line.split()) for line in file.getvalue().splitlines()]
    assert "3,125 steps: resnet50 1.8 s 15 min 2.5 d 20 epochs" in lines
    assert "with the cluster's 4 training slots 1.8 s 15 min 2.5 d" in lines
    assert "with unlimited workers 1.8 s 15 min 2.5 d" in lines
    assert "GPU time 1.8 s 15 min 2.5 d" in lines


def test_the_command_prints_the_whole_answer_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(small()))
    real, cluster = httpx.Client, FakeCluster()
    with serving(settings(tmp_path)) as client:
        client.app.dependency_overrides[cluster_of] = lambda: cluster  # type: ignore[attr-defined]
        monkeypatch.setattr("httpx.Client", lambda **_: real(transport=client._transport, base_url=client.base_url))
        assert main(["plan", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == plan_of(client, small())
        assert cluster.requests == []
        assert main(["plan", "digits/table-2", "--json", "--measure"]) == 0
        assert json.loads(capsys.readouterr().out)["preset"] == "digits/table-2@1"
        assert cluster.requests != []
        assert main(["plan", "digits/table-2"]) == 0
        assert capsys.readouterr().out.splitlines()[0] == "digits-table-2 (preset digits/table-2@1)"
        path.write_text(json.dumps(small(seeds=["one"])))
        assert main(["plan", str(path)]) == 2
        assert "/seeds/0: " in capsys.readouterr().err
    assert main(["plan", str(tmp_path / "nothing.json")]) == 2
