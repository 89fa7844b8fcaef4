"""A search on Ray Tune: a Tune trial is one leg, some generations of one trial of the search and their objectives.

A searcher asks `trials.Legs` for the next leg whenever a worker is free, so successive halving decides between legs and never
stops a process: a trial that is promoted goes on from its committed generation, in whichever worker is free. Ray's own
ASHAScheduler stops trials by what happens to be known when they report, and forgets its decisions: a search that is started
again could go other ways and train more.
"""

import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.search import Searcher

from orchestrator.cluster import train
from orchestrator.cluster import tune as ray_tune
from orchestrator.cluster.board import Board, Message, Task
from orchestrator.cluster.tune import Job
from orchestrator.plan.legs import Leg, Legs
from orchestrator.spec import Resources
from orchestrator.states import Reason
from trainer.core import checkpoint
from trainer.core.determinism import pin_threads

_DRAIN_S = 0.02
"""How long to wait for a message of the workers; Tune's loop stands meanwhile."""


@dataclass(frozen=True)
class Work:
    """A leg as its worker needs it: a segment to train, if any, and then evaluations."""

    task: Task | None
    jobs: list[Job]


@dataclass(frozen=True)
class Calls:
    """What the driver does for a search, in its own process."""

    work: Callable[[Leg], Work]
    receive: Callable[[Message], None]
    """Takes what a worker says while it trains."""
    judged: Callable[[str, dict[str, Any]], None]
    """Takes the record of an evaluation (evaluators.evaluate) by its key."""
    failed: Callable[[Sequence[str], Reason, str], None]
    """Fails the first of the nodes that is not done, with reason and message."""
    stopping: Callable[[], bool]


def search(name: str, legs: Legs, calls: Calls, resources: Resources, storage: Path, features_gib: float) -> None:
    """Runs legs until none is left, as many at the same time as the cluster holds."""

    def trial(config: dict[str, Any]) -> dict[str, Any]:
        return _run(config)

    trial.__name__ = name  # what the Ray dashboard shows of the trials
    board_name = f"board-{name}"
    board = ray.remote(Board).options(name=board_name, num_cpus=0).remote()
    fixed = {
        "board": board_name,
        "threads": resources.threads,
        "checkpoint_every_s": resources.checkpoint_every_s,
        "features": {"directory": str(storage / "features"), "gib": features_gib},
    }
    line = _Line(legs, calls, board)
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": resources.cpus, "gpu": resources.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=_Suggest(line, fixed),
            num_samples=-1,
            max_concurrent_trials=max(train.capacity(resources), 1),
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["title"],
            trial_dirname_creator=lambda trial: f"{trial.config['title']}-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(storage / "ray"),
            failure_config=tune.FailureConfig(max_failures=resources.max_worker_failures),
            callbacks=[_Tell(line)],
            verbose=0,
        ),
    )
    tuner.fit()
    line.deliver()
    ray.kill(board)


class _Line:
    """Between Tune and the driver. Tune pickles what it is given to restore an experiment, which we never do: the database
    knows what is left."""

    def __init__(self, legs: Legs, calls: Calls, board: Any) -> None:
        self.legs, self.calls, self._board = legs, calls, board
        self.of_trial: dict[str, Leg] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def deliver(self) -> None:
        """Hands on what the workers have said."""
        messages: list[Message] = ray.get(self._board.drain.remote(_DRAIN_S))
        for message in messages:
            self.calls.receive(message)

    def ended(self, trial: str, said: str | None, why: str) -> None:
        """A Tune trial is over; it said what it found, or there is a reason why not."""
        self.deliver()  # the generations come before what was judged on them
        leg = self.of_trial.pop(trial)
        if said is None:
            self.calls.failed([node.key for node in (*leg.train, *leg.judge)], Reason.WORKER_LOST, why)
        else:
            found = json.loads(said)
            for key, record in found["records"].items():
                self.calls.judged(key, record)
            for key, why_not in found["failed"].items():
                self.calls.failed([key], Reason.USER_ERROR, why_not)
        self.legs.ended(leg)


class _Suggest(Searcher):  # type: ignore[misc]
    """Suggests a leg whenever Tune has room for one."""

    def __init__(self, line: _Line, fixed: dict[str, Any]) -> None:
        super().__init__()
        self._line, self._fixed = line, fixed

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        line = self._line
        line.deliver()  # Tune's loop stays here while all legs wait for others
        if line.calls.stopping() or line.legs.over:
            return str(Searcher.FINISHED)
        leg = line.legs.next()
        if leg is None:
            return None
        line.of_trial[trial_id] = leg
        return {"title": leg.title, "work": json.dumps(asdict(line.calls.work(leg)))} | self._fixed

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the callback is told more."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""


class _Tell(tune.Callback):  # type: ignore[misc]
    def __init__(self, line: _Line) -> None:
        self._line = line

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._line.deliver()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._line.ended(trial.trial_id, trial.last_result["said"], "")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._line.ended(trial.trial_id, None, trial.get_error().__str__()[-2000:])


def _run(config: dict[str, Any]) -> dict[str, Any]:
    """A worker's side of a leg. What it trained before it was lost is found again on shared storage."""
    pin_threads(config["threads"])
    records, failed = dict[str, Any](), dict[str, str]()
    board, work = ray.get_actor(config["board"]), json.loads(config["work"])
    device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
    task = Task(**work["task"] | {"keys": tuple(work["task"]["keys"])}) if work["task"] else None
    if task is not None:
        try:
            train.run_segment(task, board, config["checkpoint_every_s"], device)
        except (OSError, checkpoint.BadCheckpoint):
            raise  # the disk or the network: Tune starts the leg again
        except Exception as error:  # deterministic, so trying again would not help
            ray.get(board.post.remote(train.failure(task, error)))
            work["jobs"] = []
    bank = ray_tune.bank(**config["features"])
    for job in work["jobs"]:
        try:
            records[job["key"]] = ray_tune.record(Job(**job), bank, device)
        except (OSError, checkpoint.BadCheckpoint):
            raise
        except Exception:
            failed[job["key"]] = traceback.format_exc(limit=-3)
    said = {"records": records, "failed": failed}
    return {"said": json.dumps(said)}  # as text, or Tune's loggers would take it for thousands of metrics
