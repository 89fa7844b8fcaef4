import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from api import body
from api.cli import plan, specs
from api.cli.__main__ import main
from api.client import Refused
from api.routes.plans import cluster_of
from orchestrator.estimate.timing_runs import TimingRequest
from orchestrator.spec import Resources
from tests.api.builders import TestClient, database, is_problem, serving, settings
from tests.orchestrator.builders import small


class Cluster:
    """Two CPUs, and a timing run that finds nothing and says so."""

    def __init__(self) -> None:
        self.asked: list[TimingRequest] = []

    def nodes(self) -> list[dict[str, float]]:
        return [{"CPU": 2.0}]

    def time(self, asked: list[TimingRequest], resources: Resources) -> str:
        self.asked += asked
        return "the cluster had no room for it"


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path / "nothing"))
    for name in ("RELEARN_URL", "RELEARN_TOKEN", "RELEARN_HOME"):
        monkeypatch.delenv(name, raising=False)


def planned(client: TestClient, raw: object, **query: Any) -> dict[str, Any]:
    answer = client.post("/experiments/plan", json=raw, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_plan_counts_as_posting_does_and_stores_nothing(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as client, database(settings(tmp_path)) as store:
        found = planned(client, small())
        assert store.experiments() == []
        posted = client.post("/experiments", json=small()).json()["plan"]["generation"]
        assert {name: found["nodes"]["generation"][name] for name in posted} == posted
        after = planned(client, small())["nodes"]["generation"]
        assert after == {"requested": 4, "unique": 3, "cached": 0, "in_flight": 3, "to_do": 0}


def test_a_preset_and_a_grid_may_be_planned(tmp_path: Path) -> None:
    grid = [{"name": "seal", "method": {"name": "seal"}, "grid": {"ascent_scale": [0.1, 1, 10]}}]
    with serving(settings(tmp_path)) as client:
        assert planned(client, {"preset": "paper/all"})["epochs"] == {
            "separate": 43368,
            "shared": 26328,
            "cached": 0,
            "in_flight": 0,
            "to_do": 26328,
        }
        assert planned(client, small(arms=grid, evaluations=[]))["nodes"]["generation"]["unique"] == 1 + 3


def test_data_that_is_not_prepared_is_a_warning_here_and_a_mistake_when_it_is_posted(tmp_path: Path) -> None:
    raw = small(data={"name": "cifar10"})
    with serving(settings(tmp_path)) as client:
        told = {warning["code"]: warning for warning in planned(client, raw)["warnings"]}
        assert told["NOT_PREPARED"]["pointer"] == "/data"
        assert "relearn data prepare cifar10" in told["NOT_PREPARED"]["message"]
        assert is_problem(client.post("/experiments", json=raw), 422, "INVALID_SPEC")


def test_a_wrong_spec_is_answered_with_every_problem(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as client:
        answer = client.post("/experiments/plan", json=small(train={"epochs": 0}, seeds=[1, 1]))
        assert is_problem(answer, 422, "INVALID_SPEC")
        assert {error["pointer"] for error in answer.json()["errors"]} == {"/train/epochs", "/seeds/1"}
        assert is_problem(client.post("/experiments/plan", content=b"{"), 400, "INVALID_JSON")
        assert is_problem(client.post("/experiments/plan?measure=perhaps", json=small()), 422, "INVALID_PARAMETER")


def test_only_a_capsule_may_be_larger_than_a_spec(tmp_path: Path) -> None:
    padding = b" " * body.MAX_BYTES
    with serving(settings(tmp_path)) as client:
        answer = client.post("/experiments/plan", content=json.dumps(small()).encode() + padding)
        assert is_problem(answer, 413, "BODY_TOO_LARGE")
        capsule = json.dumps({"relearn_capsule": 1}).encode()
        assert is_problem(client.post("/experiments/plan", content=capsule + padding), 422, "INVALID_SPEC")


def test_the_cluster_is_asked_for_a_timing_run_only_with_measure(tmp_path: Path) -> None:
    cluster = Cluster()
    with serving(settings(tmp_path)) as client:
        client.app.dependency_overrides[cluster_of] = lambda: cluster  # type: ignore[attr-defined]
        assert [each["code"] for each in planned(client, small())["warnings"]] == ["SINGLE_SEED"]
        assert cluster.asked == []
        codes = [each["code"] for each in planned(client, small(), measure=True)["warnings"]]
        assert (codes, len(cluster.asked)) == (["SINGLE_SEED", "NOT_TIMED"], 1)


def test_a_cluster_that_is_away_leaves_the_rest_of_the_answer(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as client:
        found = planned(client, small(seeds=[0, 1]))
    assert [each["code"] for each in found["warnings"]] == ["CLUSTER_AWAY"]
    assert found["quote"]["wall_hours"]["lanes"] is None


def test_a_plan_needs_the_token_too(tmp_path: Path) -> None:
    with serving(settings(tmp_path, token="secret")) as client:
        assert is_problem(client.post("/experiments/plan", json=small()), 401, "UNAUTHENTICATED")


# --- the command line ---


def test_a_spec_is_a_file_or_the_name_of_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("paper").mkdir()
    Path("paper/mine").write_text('{"name": "mine"}')
    assert specs.read("paper/table-2") == {"preset": "paper/table-2"}
    assert specs.read("paper/table-2@1") == {"preset": "paper/table-2@1"}
    assert specs.read("paper/mine") == {"name": "mine"}
    for wrong in ("paper/table-2.json", "spec", "/nowhere/spec"):
        with pytest.raises(Refused, match="cannot be read"):
            specs.read(wrong)


def said(answer: dict[str, Any]) -> list[str]:
    file = io.StringIO()
    plan.say(answer, Console(file=file, width=200))
    return [" ".join(line.split()) for line in file.getvalue().splitlines()]


def test_what_is_printed_for_people(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as client:
        lines = said(planned(client, small()))
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
        "warning: one seed: no interval over seeds, so luck and a difference between arms cannot be told apart",
    ):
        assert wanted in lines
    (stored,) = (line for line in lines if line.startswith("storage: "))
    assert stored.startswith("storage: 243 kB stay, at most 1.45 MB at a time: 3 checkpoints stay as artifacts")


def test_hours_are_printed_in_a_unit_that_suits_them() -> None:
    hours: dict[str, Any] = {"p10": 0.0005, "p50": 0.25, "p90": 60.0}
    part = {"hours": hours, "units": 3125, "unit": "step", "what": "resnet50", "basis": "20 epochs"}
    wall = {"one_after_another": hours, "critical_path": hours, "lanes": hours | {"count": 4}}
    quote = {"parts": [part], "partial": False, "unknown": [], "wall_hours": wall, "gpu_hours": hours}
    file = io.StringIO()
    Console(file=file, width=200).print(plan._hours(quote))
    lines = [" ".join(line.split()) for line in file.getvalue().splitlines()]
    assert "3,125 steps: resnet50 1.8 s 15 min 2.5 d 20 epochs" in lines
    assert "with the cluster's 4 lanes 1.8 s 15 min 2.5 d" in lines
    assert "GPU time 1.8 s 15 min 2.5 d" in lines


def test_the_command_prints_the_whole_answer_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(small()))
    real, cluster = httpx.Client, Cluster()
    with serving(settings(tmp_path)) as client:
        client.app.dependency_overrides[cluster_of] = lambda: cluster  # type: ignore[attr-defined]
        monkeypatch.setattr("httpx.Client", lambda **_: real(transport=client._transport, base_url=client.base_url))
        assert main(["plan", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == planned(client, small())
        assert cluster.asked == []
        assert main(["plan", "digits/table-2", "--json", "--measure"]) == 0
        assert json.loads(capsys.readouterr().out)["preset"] == "digits/table-2@1"
        assert cluster.asked != []
        assert main(["plan", "digits/table-2"]) == 0
        assert capsys.readouterr().out.splitlines()[0] == "digits-table-2 (preset digits/table-2@1)"
        path.write_text(json.dumps(small(seeds=["one"])))
        assert main(["plan", str(path)]) == 2
        assert "/seeds/0: " in capsys.readouterr().err
    assert main(["plan", str(tmp_path / "nothing.json")]) == 2
