"""Real SIGKILLs of a real process that trains to disk, at random moments; started again, it ends with the same bits.

`python -c 'from tests.trainer.test_kills import main; main(20)'` kills every method 20 times.
"""

import hashlib
import multiprocessing
import random
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from tests.trainer.builders import CPU, EVERY_METHOD, label, small_spec
from tests.trainer.test_failpoints import newest
from trainer.core.determinism import pin_threads
from trainer.run import run
from trainer.spec import TrainSpec

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tests.trainer.test_kills", "torch._dynamo"]
)  # the first step would import the latter


def train(one: TrainSpec, out: Path, rows: Connection) -> None:
    """Runs the child, which reports the epochs that are on disk."""
    pin_threads(1)
    rows.send(None)
    for row in run(one, CPU, out, every_s=0):
        rows.send((row.generation, row.epoch, digest(out)))


def digest(out: Path) -> str:
    return hashlib.sha256(newest(out).encode()).hexdigest()


def started(one: TrainSpec, out: Path) -> tuple[Any, Connection]:
    """A child that has come as far as its first line."""
    here, there = PROCESSES.Pipe(duplex=False)
    child = PROCESSES.Process(target=train, args=(one, out, there), daemon=True)
    child.start()
    there.close()
    here.recv()
    return child, here


def messages(rows: Connection) -> list[tuple[int, int, str]]:
    """Returns all epochs that the child reported before it ended."""
    found = []
    try:
        while True:
            found.append(rows.recv())
    except EOFError:
        return found


def try_kills(method: dict[str, Any], kills: int, seed: int) -> tuple[int, list[str]]:
    """How many kills hit a run on its way (after which epochs), and what differed from an undisturbed run."""
    one = small_spec(method, generations=2, epochs=4, batch_size=20, precision="fp32")
    drawn, done, wrong = random.Random(seed), 0, list[str]()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        child, rows = started(one, root / "whole")
        expected = {(g, e): state for g, e, state in messages(rows)}
        child.join()
        assert (child.exitcode, len(expected)) == (0, 8)
        longest_s, attempt = 0.3, 0
        while done < kills:
            attempt += 1
            assert attempt < 10 * kills + 10
            out = root / str(attempt)
            hits = 0
            while True:  # killed again and again, the same run must still end well
                child, rows = started(one, out)
                child.join(drawn.uniform(0, longest_s) if hits < 2 else None)
                child.kill()
                child.join()
                found = {(g, e): state for g, e, state in messages(rows)}
                wrong += [f"{label(method)}: {at}" for at, state in found.items() if state != expected[at]]
                if child.exitcode == 0:
                    break
                hits += 1
            if digest(out) != expected[1, 3]:
                wrong.append(f"{label(method)}: the end after {hits} kills")
            done += hits
            longest_s = longest_s / 2 if hits == 0 else longest_s
    return done, wrong


@pytest.mark.parametrize("method", EVERY_METHOD, ids=label)
def test_killed_twice_a_run_ends_with_the_same_bits(method: dict[str, Any]) -> None:
    done, wrong = try_kills(method, kills=2, seed=EVERY_METHOD.index(method))
    print(f"{label(method)}: killed {done} times, {len(wrong)} differences")
    assert wrong == []
    assert done >= 2


def main(kills: int) -> None:
    torch.set_num_threads(1)
    total, bad = 0, 0
    for index, method in enumerate(EVERY_METHOD):
        done, wrong = try_kills(method, kills=kills, seed=index)
        total, bad = total + done, bad + len(wrong)
        print(f"{done:5} kills  {len(wrong):5} differences  {label(method)}", *wrong, sep="\n  ", flush=True)
    print(f"{total:5} kills  {bad:5} differences")
