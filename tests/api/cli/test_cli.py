import io
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from api.auth import check_bind
from api.cli import progress, tables
from api.cli.__main__ import main
from api.client import Client, Refused, address
from tests.api.builders import serving, settings
from tests.orchestrator.builders import small

ROW = {
    "arm": "seal",
    "seed": 0,
    "generation": None,
    "generations": 2,
    "generations_committed": 0,
    "epoch": None,
    "epochs": 4,
}
ROW |= {"phase": None, "train_accuracy": None, "test_accuracy": None}
BEGUN = {"generation": 1, "epoch": 0, "phase": "forgetting", "train_accuracy": 0.987, "test_accuracy": 0.5}


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RELEARN_URL", "RELEARN_TOKEN", "RELEARN_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def view(state: str, done: int = 0, left: float | None = None, **more: Any) -> dict[str, Any]:
    progress = {"epochs_done": done, "epochs_total": 8, "epochs_cached": 0, "training_left_s": left}
    progress |= {"evaluations_done": more.pop("evaluated", 0), "evaluations_total": 2}
    return {
        "name": "small",
        "state": state,
        "message": None,
        "progress": progress,
        "rows": [ROW],
        "warnings": [],
    } | more


def followed(*views: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """What is printed where there is no terminal, and what is returned."""
    file = io.StringIO()
    last = progress.follow(iter(views), Console(file=file, width=140))
    return file.getvalue().splitlines(), last


def score(arm: str, generation: int, value: float | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    row = {"arm": arm, "seed": seed, "generation": generation, "value": value, "low": None, "high": None, "n": 896}
    return row | {"evaluator": "accuracy", "dataset": "digits", "metric": "top1"} | more


def printed(rows: list[dict[str, Any]], everything: bool = False) -> tuple[str, list[list[str]]]:
    """The title and the cells of each line, the header's first."""
    table = tables.results_table(rows, everything)
    title, table.title = str(table.title), None
    console = Console(file=io.StringIO(), width=160, record=True)
    console.print(table)
    lines = [line for line in console.export_text().splitlines() if line.strip() and "───" not in line]
    return title, [re.split(r"\s{2,}", line.strip()) for line in lines]


# --- the table ---


def test_the_table_has_the_last_generation_beside_the_first() -> None:
    rows = [score("normal", 0, 0.5), score("seal", 0, 0.5), score("normal", 3, 0.75), score("seal", 3, 0.8125)]
    assert printed(rows) == (
        "After generation 3, one seed",
        [["score", "generation 0", "normal", "seal"], ["accuracy digits top1 %", "50.00", "75.00", "81.25"]],
    )


def test_the_table_averages_over_seeds() -> None:
    rows = [score("seal", 0, value, seed) for seed, value in enumerate((0.70, 0.72, 0.77))]
    title, (_, line) = printed(rows)
    assert title == "After generation 0, mean ± SD over 3 seeds"
    assert line == ["accuracy digits top1 %", "73.00 ± 3.61"]


def test_the_table_shows_headlines_or_everything() -> None:
    few_shot: dict[str, Any] = {"evaluator": "few-shot", "dataset": "digits-edges", "metric": "5shot/acc"}
    probe: dict[str, Any] = {"evaluator": "linear-probe", "dataset": "digits-edges"}
    hessian: dict[str, Any] = {"evaluator": "hessian-spectrum", "dataset": "digits"}
    rows = [
        score("seal", 0, 0.5),
        score("seal", 0, 1.25, metric="loss"),
        score("seal", 0, 0.4, **few_shot),
        score("seal", 0, 0.3, **probe, metric="acc"),
        score("seal", 0, 0.2, **probe, metric="lr0.1/acc"),
        score("seal", 0, 1234.25, **hessian, metric="max"),
        score("seal", 0, 3.0, **hessian, metric="top1_mean"),
    ]
    _, lines = printed(rows)
    assert lines[1:] == [
        ["accuracy digits top1 %", "50.00"],
        ["few-shot digits-edges 5shot/acc %", "40.00"],
        ["linear-probe digits-edges acc %", "30.00"],
        ["hessian-spectrum digits max", "1234"],
    ]
    _, lines = printed(rows, everything=True)
    assert len(lines) == 1 + len(rows)
    assert ["accuracy digits loss", "1.25"] in lines
    assert ["hessian-spectrum digits top1_mean", "3.00"] in lines


def test_the_table_leaves_open_what_is_not_there() -> None:
    """No value yet for SEAL's last generation, and none that is a number for Normal's."""
    rows = [score("normal", 0, 0.5), score("seal", 0, 0.5), score("normal", 1, None)]
    assert printed(rows)[1] == [["score", "generation 0", "normal", "seal"], ["accuracy digits top1 %", "50.00"]]
    assert printed([]) == ("After generation 0, one seed", [["score"]])


def test_generation_0_of_the_table_is_that_of_the_first_arm() -> None:
    rows = [score("normal", 0, 0.25), score("seal", 0, 0.75), score("normal", 1, 0.5), score("seal", 1, 0.5)]
    assert printed(rows)[1][1] == ["accuracy digits top1 %", "25.00", "50.00", "50.00"]


def test_the_last_epoch_stands_in_the_table_and_the_best_among_everything() -> None:
    training: dict[str, Any] = {"evaluator": "training", "dataset": "digits"}
    selected = {"epoch": 7, "notes": ["best of 9 measured epochs on the test images"]}
    rows = [
        score("seal", 0, 0.5, **training, metric="test_accuracy/last", details={"epoch": 8, "notes": []}),
        score("seal", 0, 0.75, **training, metric="test_accuracy/best", details=selected),
    ]
    assert printed(rows)[1] == [["score", "seal"], ["training digits test_accuracy/last %", "50.00"]]
    assert printed(rows, everything=True)[1] == [
        ["score", "seal"],
        ["training digits test_accuracy/last %", "50.00"],
        ["training digits test_accuracy/best %", "75.00"],
        ["training: best of 9 measured epochs on the"],
        ["test images"],
    ]


def test_what_to_know_of_the_scores_shown_is_said_once_below_them() -> None:
    reduced = {"notes": ["a reduced run [600]", "bf16"]}
    probe: dict[str, Any] = {"evaluator": "linear-probe", "dataset": "digits"}
    rows = [
        score("normal", 0, 0.5, details=reduced),
        score("seal", 0, 0.5, details=reduced),
        score("seal", 0, 0.5, **probe, metric="acc", details={"notes": ["bf16"]}),
        score("seal", 0, 0.5, **probe, metric="acc_heldout", details={"notes": []}),
        score("seal", 0, 0.5, **probe, metric="lr0.1/last", details={"notes": ["not shown"]}),
    ]
    caption = tables.results_table(rows).caption
    assert str(caption) == "accuracy: a reduced run [600]\naccuracy: bf16\nlinear-probe: bf16"
    assert tables.results_table([score("seal", 0, 0.5)]).caption is None


# --- following ---


def test_without_a_terminal_each_state_is_said_once() -> None:
    running = view("RUNNING")
    lines, last = followed(
        view("QUEUED"), view("QUEUED"), running, running, view("FAILED", message="the loss is not finite")
    )
    assert lines == ["queued", "running", "failed: the loss is not finite"]
    assert last["state"] == "FAILED"


def test_the_end_is_told_with_the_last_numbers() -> None:
    lines, last = followed(view("SUCCEEDED", done=8, evaluated=2, rows=[ROW | BEGUN]))
    assert last["state"] == "SUCCEEDED"
    assert lines == [
        "succeeded",
        "small succeeded: 8/8 epochs, 2/2 evaluations",
        "  seal/seed0       generation 2/2 epoch 1/4 (forgetting): train 98.7% test 50.0%",
    ]


def test_progress_says_what_was_done_before_and_what_is_left() -> None:
    shown = view("RUNNING", done=6, left=61.4)
    shown["progress"]["epochs_cached"] = 4
    lines, _ = followed(shown)
    assert lines == [
        "running",
        "small running: 6/8 epochs (4 done before), 0/2 evaluations, about 61 s of training left",
    ]


def test_numbers_are_not_repeated_within_ten_seconds() -> None:
    lines, _ = followed(*(view("RUNNING", done=done) for done in range(1, 8)))
    assert lines == ["running", "small running: 1/8 epochs, 0/2 evaluations"]


def test_warnings_are_said_once_per_arm_with_how_often() -> None:
    warnings = [{"arm": "seal", "seed": seed, "generation": 1, "message": f"w{seed}"} for seed in range(3)]
    warnings.append({"arm": "llf", "seed": 0, "generation": 1, "message": "other"})
    lines, _ = followed(view("SUCCEEDED", warnings=warnings))
    assert lines == ["succeeded", "warning: seal: w0 (and 2 more)", "warning: llf: other"]


def test_nothing_to_follow_is_nothing_said() -> None:
    assert followed() == ([], {})


def test_on_a_terminal_the_last_view_stands() -> None:
    file = io.StringIO()
    console = Console(file=file, width=120, force_terminal=True, color_system=None)
    warnings = [{"arm": "seal", "seed": 0, "generation": 1, "message": "nothing was forgotten"}]
    views = [
        view("QUEUED"),
        view("RUNNING", done=5, left=30, rows=[ROW, ROW | BEGUN], warnings=warnings, message="waiting"),
    ]
    assert progress.follow(iter(views), console)["state"] == "RUNNING"
    shown = file.getvalue()
    assert "small running: 5/8 epochs, 0/2 evaluations, about 30 s of training left" in shown
    assert "waiting" in shown
    assert "warning: seal: nothing was forgotten" in shown
    assert "98.7%" in shown


# --- where the server is ---


def test_the_address_is_the_variable_else_what_up_wrote_else_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert address() == "http://127.0.0.1:8000"
    (tmp_path / ".relearn").mkdir()
    (tmp_path / ".relearn" / "services.json").write_text('{"api": "http://127.0.0.1:8001", "pid": 1}')
    assert address() == "http://127.0.0.1:8001"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "services.json").write_text('{"api": "http://127.0.0.1:8002"}')
    monkeypatch.setenv("RELEARN_HOME", str(tmp_path / "home"))
    assert address() == "http://127.0.0.1:8002"
    monkeypatch.setenv("RELEARN_URL", "https://relearn.example")
    assert address() == "https://relearn.example"


@pytest.mark.parametrize("content", ["", "{", "{}", '{"mlflow": "http://127.0.0.1:5000"}'])
def test_a_services_file_that_is_not_whole_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / ".relearn").mkdir()
    (tmp_path / ".relearn" / "services.json").write_text(content)
    assert address() == "http://127.0.0.1:8000"


# --- the command ---


def test_a_spec_file_that_is_missing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "missing.json"]) == 2
    said = capsys.readouterr().err
    assert "missing.json cannot be read" in said
    assert "No such file" in said


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"name: yaml",
        b"\xff\xfe",
        b'{"name": "a"} {}',
        b'{"train": {"lr": NaN}}',
        b'{"train": {"lr": 1e999}}',
        b'{"name": "\\ud800"}',
        b'{"seeds": [0], "seeds": [1]}',
    ],
)
def test_a_spec_file_that_is_not_plain_json_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nobody: str, content: bytes
) -> None:
    """Before anything is sent: the client would change what the server is so strict about."""
    monkeypatch.setenv("RELEARN_URL", nobody)
    (tmp_path / "spec.json").write_bytes(content)
    assert main(["submit", "spec.json"]) == 2
    assert "spec.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["submit", "spec.json"], ["list"], ["results", "exp"], ["cancel", "exp"]])
def test_without_a_server_the_remedy_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nobody: str, command: list[str]
) -> None:
    monkeypatch.setenv("RELEARN_URL", nobody)
    (tmp_path / "spec.json").write_text(json.dumps(small()))
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "no relearn server answers" in said
    assert "start one with `relearn up`, or set RELEARN_URL" in said


@pytest.mark.parametrize("arguments", [[], ["fly"], ["submit"], ["results", "--every"]])
def test_a_command_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: relearn" in capsys.readouterr().err


# --- methods and evaluators, which need no server ---


@pytest.mark.parametrize(
    ("command", "first", "last"),
    [("methods", "normal", "self-distillation"), ("evaluators", "accuracy", "prediction-depth")],
)
def test_what_a_spec_may_name_is_listed_without_a_server(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    nobody: str,
    command: str,
    first: str,
    last: str,
) -> None:
    monkeypatch.setenv("RELEARN_URL", nobody)
    assert main([command]) == 0
    said = capsys.readouterr().out
    assert [word in said for word in (first, last, "usable", "yes")] == [True] * 4
    assert main([command, "--json"]) == 0
    items = json.loads(capsys.readouterr().out)
    assert (items[0]["name"], items[-1]["name"]) == (first, last)
    assert all(item["schema"]["type"] == "object" for item in items)


def test_a_problem_is_shown_in_place_of_the_description() -> None:
    entry: dict[str, Any] = {
        "name": "own",
        "package": "mine",
        "version": "1.0",
        "description": "What it does.\n\nAnd how.",
    }
    items = [entry | {"checked": True, "problem": None}, entry | {"checked": False, "problem": "it [never] passed"}]
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(tables.catalogue_table(items))
    rows = [line.split() for line in console.export_text().splitlines() if line.strip().startswith("own")]
    assert rows == [
        ["own", "mine", "1.0", "yes", "What", "it", "does."],
        ["own", "mine", "1.0", "no", "it", "[never]", "passed"],
    ]


def test_a_method_of_ours_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-method", "normal"]) == 0
    said = capsys.readouterr().out
    assert "ordinary training bit for bit where it says so: generation 0" in said
    assert "normal: all 9 passed after" in said
    assert not Path(".relearn").exists()


def test_a_method_that_nobody_offers_cannot_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-method", "sael"]) == 2
    assert "no installed package offers a method 'sael'; known are normal, llf, seal" in capsys.readouterr().err


# --- the client, against the application ---


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with serving(settings(tmp_path / "home")) as http, Client("http://127.0.0.1") as client:
        client._http.close()
        client._http = http
        yield client


def test_the_client_posts_reads_and_cancels(client: Client) -> None:
    posted = client.submit(small())
    assert [each["id"] for each in client.experiments()] == [posted["id"]]
    assert client.experiment(posted["id"])["progress"]["epochs_total"] == 9
    assert client.results(posted["id"]) == []
    assert client.health()["status"] == "ok"


def test_the_client_reads_the_catalogue(client: Client) -> None:
    assert [client.methods()[0]["name"], client.evaluators()[0]["name"], client.models()[0]["name"]] == [
        *("normal", "accuracy", "resnet-digits")
    ]


def test_the_client_tells_every_problem_with_its_suggestion(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        client.submit(small(trian={}, seeds=[0, 0]))
    assert str(refused.value).splitlines() == [
        "The experiment's spec is invalid: 2 problem(s) found; nothing was stored",
        "  /trian: 'trian' is not a field here (did you mean 'train'?)",
        "  /seeds/1: 0 stands here for the second time",
    ]


def test_the_client_tells_what_does_not_exist(client: Client) -> None:
    with pytest.raises(Refused, match="Not found: experiment 'exp_of_nobody' does not exist"):
        client.experiment("exp_of_nobody")


def test_an_answer_that_is_not_ours_is_refused_and_no_traceback(client: Client) -> None:
    """A host that is not allowed, or a proxy in between, answers with plain text or a page."""
    client._http.headers["host"] = "evil.example"
    with pytest.raises((Refused, httpx.HTTPError)):
        client.experiments()


# --- where it may listen ---


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    check_bind(host, None)
    check_bind(host, "secret")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.10", "relearn.example", "localhost.example", ""])
def test_any_other_host_needs_a_token(host: str) -> None:
    for token in (None, ""):
        with pytest.raises(
            ValueError, match=r"can be reached from other machines: set RELEARN_TOKEN first, or use 127\.0\.0\.1"
        ):
            check_bind(host, token)
    check_bind(host, "secret")
