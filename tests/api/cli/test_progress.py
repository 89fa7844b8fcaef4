"""The progress of an experiment as the command line shows it."""

import io
from typing import Any

from rich.console import Console

from api.cli import progress
from orchestrator.states import ExperimentState

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
    """The lines that are printed where there is no terminal, and the view that is returned."""
    file = io.StringIO()
    last = progress.follow(iter(views), Console(file=file, width=140))
    return file.getvalue().splitlines(), last


def test_without_a_terminal_each_state_is_printed_once() -> None:
    running = view("RUNNING")
    lines, last = followed(
        view("QUEUED"), view("QUEUED"), running, running, view("FAILED", message="the loss is not finite")
    )
    assert lines == ["queued", "running", "failed: the loss is not finite"]
    assert last["state"] == "FAILED"


def test_the_end_is_printed_with_the_last_numbers() -> None:
    lines, last = followed(view("SUCCEEDED", done=8, evaluated=2, rows=[ROW | BEGUN]))
    assert last["state"] == "SUCCEEDED"
    assert lines == [
        "succeeded",
        "small succeeded: 8/8 epochs, 2/2 evaluations",
        "  seal/seed0       generation 1 of 1 epoch 1/4 (forgetting): train 98.7% test 50.0%",
    ]


def test_progress_counts_what_was_done_before_and_what_is_left() -> None:
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


def test_warnings_are_printed_once_per_arm_with_their_number() -> None:
    warnings = [{"arm": "seal", "seed": seed, "generation": 1, "message": f"w{seed}"} for seed in range(3)]
    warnings.append({"arm": "llf", "seed": 0, "generation": 1, "message": "other"})
    lines, _ = followed(view("SUCCEEDED", warnings=warnings))
    assert lines == ["succeeded", "warning: seal: w0 (and 2 more)", "warning: llf: other"]


def test_nothing_is_printed_if_there_is_nothing_to_follow() -> None:
    assert followed() == ([], {})


def test_on_a_terminal_the_last_view_remains() -> None:
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


def test_text_of_users_is_never_markup_and_has_no_terminal_codes() -> None:
    message = "no [seed0] in /data/[/old]/:cat: \x1b[31mred\x1b]0;title\x07"
    warnings = [{"arm": "[/old]", "seed": 0, "generation": 1, "message": ":cat: [bold]"}]
    shown = view("FAILED", message=message, name="[a]", warnings=warnings, rows=[ROW | BEGUN | {"arm": "[/old]"}])
    lines, _ = followed(shown)
    assert lines == ["failed: no [seed0] in /data/[/old]/:cat: red", "warning: [/old]: :cat: [bold]"]


def test_the_live_view_fits_every_state_and_width() -> None:
    failure = {"arm": "[/old]", "seed": 0, "message": "y" * 300, "nodes": 3}
    for state in ExperimentState:
        for width in (40, 80, 120, 200):
            file = io.StringIO()
            console = Console(file=file, width=width, force_terminal=True, color_system=None)
            shown = view(state, rows=[ROW, ROW | BEGUN | {"arm": "[/old]"}], failures=[failure], message=":cat:")
            progress.follow(iter([shown]), console)
            assert ":cat:" in file.getvalue()


def test_the_first_failure_of_an_arm_is_printed_with_its_message() -> None:
    failure = {"arm": "theirs", "seed": 0, "message": "fc.weight is [1000, 512]", "nodes": 2}
    lines, _ = followed(view("FAILED", failures=[failure]))
    assert lines == ["failed", "failed: theirs/seed0: fc.weight is [1000, 512] (2 nodes did not finish)"]
