"""The parts of the local stack that need no running process; tests/e2e starts the real one."""

import socket
from pathlib import Path

import pytest

from api.cli.stack import _ports, running


@pytest.mark.parametrize("content", [None, "", "{", "{}", "DEAD"])
def test_a_stack_that_does_not_answer_is_not_running(tmp_path: Path, dead_url: str, content: str | None) -> None:
    if content is not None:
        text = content if content != "DEAD" else f'{{"api": "{dead_url}"}}'
        (tmp_path / "services.json").write_text(text)
    assert running(tmp_path) is None


def test_a_taken_port_is_replaced_by_a_free_one_and_no_two_are_equal() -> None:
    with socket.socket() as taken, socket.socket() as probe:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
        probe.close()
        found = _ports({"api": port, "mlflow": free, "ray": free})
    assert found["mlflow"] == free
    assert len(set(found.values())) == 3
    assert all(20_000 <= found[name] < 30_000 for name in ("api", "ray"))
