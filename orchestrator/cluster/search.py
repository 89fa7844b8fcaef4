"""Runs a search on Ray Tune.

Each Tune trial is one rung segment: some generations of one trial of the search, and the evaluations of its objective.
Whenever a worker is free, a searcher asks the `plan.rungs.RungSchedule` for the next segment. Successive halving thus
decides between segments and never stops a process, and a promoted trial continues from its committed generation in any
free worker. Ray's own ASHAScheduler does not fit here: it stops trials by the scores that are known at that moment, and
does not store its decisions, so a restarted search could decide differently and train more.

Tune calls its searcher and its callbacks in the thread that runs `run_schedule`.
"""

import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.search import Searcher

from orchestrator.checkpoints.folders import Folders
from orchestrator.cluster.mailbox import Mailbox, Message
from orchestrator.cluster.payloads import Job, RungPayload, Task
from orchestrator.cluster.train import slot_capacity
from orchestrator.cluster.train_worker import failure, run_segment
from orchestrator.cluster.tune import evaluate_job, feature_bank
from orchestrator.plan.rungs import RungSchedule, RungSegment
from orchestrator.spec import Resources
from orchestrator.states import Reason
from trainer.core import checkpoint
from trainer.core.determinism import pin_threads

_DRAIN_S = 0.02
"""Seconds to wait for a message from the workers, during which Tune's loop is blocked."""


@dataclass(frozen=True)
class Callbacks:
    """The functions of the driver that a search calls, in the driver's process."""

    payload: Callable[[RungSegment], RungPayload]
    """Returns the payload of a segment."""
    report: Callable[[Message], None]
    """Processes a message that a worker sent while it trained."""
    evaluated: Callable[[str, dict[str, Any]], None]
    """Stores the record of an evaluation (evaluators.evaluate), given its key."""
    failed: Callable[[Sequence[str], Reason, str], None]
    """Fails the first of the nodes that is not done, with a reason and a message."""
    stopping: Callable[[], bool]
    """Returns whether the attempt has to end."""


def run_schedule(
    name: str,
    schedule: RungSchedule,
    callbacks: Callbacks,
    resources: Resources,
    folders: Folders,
    features_gib: float,
) -> None:
    """Runs rung segments until none is left, as many at the same time as the cluster has capacity for.

    Workers keep up to `features_gib` GiB of layer outputs on disk for further evaluations.
    """

    def trial(config: dict[str, Any]) -> dict[str, Any]:
        return _run_payload(config)

    trial.__name__ = name  # the Ray dashboard shows it
    mailbox_name = f"mailbox-{name}"
    mailbox = ray.remote(Mailbox).options(name=mailbox_name, num_cpus=0).remote()
    fixed = {
        "mailbox": mailbox_name,
        "threads": resources.threads,
        "checkpoint_every_s": resources.checkpoint_every_s,
        "features": {"directory": str(folders.features), "gib": features_gib},
    }
    relay = _Relay(schedule, callbacks, mailbox)
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": resources.cpus, "gpu": resources.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=_ScheduleSearcher(relay, fixed),
            num_samples=-1,
            max_concurrent_trials=max(slot_capacity(resources), 1),
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["title"],
            trial_dirname_creator=lambda trial: f"{trial.config['title']}-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(folders.ray),
            failure_config=tune.FailureConfig(max_failures=resources.max_worker_failures),
            callbacks=[_RelayCallback(relay)],
            verbose=0,
        ),
    )
    tuner.fit()
    relay.deliver()
    ray.kill(mailbox)


class _Relay:
    """Passes messages and outcomes from Tune to the driver.

    Tune pickles its callbacks and its searcher so that it can restore an experiment. This is never used, because the
    database knows what is left, so the pickled state is empty.
    """

    def __init__(self, schedule: RungSchedule, callbacks: Callbacks, mailbox: Any) -> None:
        self.schedule, self.callbacks, self._mailbox = schedule, callbacks, mailbox
        self.segments: dict[str, RungSegment] = {}
        """The running segments, by the id of the Tune trial that runs each."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def deliver(self) -> None:
        """Passes on the messages that the workers have sent."""
        messages: list[Message] = ray.get(self._mailbox.drain.remote(_DRAIN_S))
        for message in messages:
            self.callbacks.report(message)

    def ended(self, trial: str, outcome: str | None, why: str) -> None:
        """Passes on the outcome of a Tune trial that has ended. If `outcome` is None, `why` is the error."""
        self.deliver()  # a generation has to be reported before its evaluations
        segment = self.segments.pop(trial)
        if outcome is None:
            self.callbacks.failed(segment.keys, Reason.WORKER_LOST, why)
        else:
            found = json.loads(outcome)
            for key, record in found["records"].items():
                self.callbacks.evaluated(key, record)
            for key, why_not in found["failed"].items():
                self.callbacks.failed([key], Reason.USER_ERROR, why_not)
        self.schedule.ended(segment)


class _ScheduleSearcher(Searcher):  # type: ignore[misc]
    """Suggests a rung segment whenever Tune has capacity for one."""

    def __init__(self, relay: _Relay, fixed: dict[str, Any]) -> None:
        super().__init__()
        self._relay, self._fixed = relay, fixed

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        relay = self._relay
        relay.deliver()  # while all segments wait, Tune's loop only calls this method
        if relay.callbacks.stopping() or relay.schedule.over:
            return str(Searcher.FINISHED)
        segment = relay.schedule.next()
        if segment is None:
            return None
        relay.segments[trial_id] = segment
        payload = json.dumps(asdict(relay.callbacks.payload(segment)))
        return {"title": segment.title, "payload": payload} | self._fixed

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Does nothing, because `_RelayCallback` handles the end of a trial."""

    def save(self, checkpoint_path: str) -> None:
        """Does nothing, because the database knows what is left."""


class _RelayCallback(tune.Callback):  # type: ignore[misc]
    def __init__(self, relay: _Relay) -> None:
        self._relay = relay

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._relay.deliver()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._relay.ended(trial.trial_id, trial.last_result["outcome"], "")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._relay.ended(trial.trial_id, None, trial.get_error().__str__()[-2000:])


def _run_payload(config: dict[str, Any]) -> dict[str, Any]:
    """Runs a rung segment in its worker.

    After the loss of a worker, training continues from the newest checkpoint on shared storage.
    """
    pin_threads(config["threads"])
    records, failed = dict[str, Any](), dict[str, str]()
    mailbox, payload = ray.get_actor(config["mailbox"]), json.loads(config["payload"])
    device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
    task = Task(**payload["task"] | {"keys": tuple(payload["task"]["keys"])}) if payload["task"] else None
    if task is not None:
        try:
            run_segment(task, mailbox, config["checkpoint_every_s"], device)
        except (OSError, checkpoint.BadCheckpoint):
            raise  # the disk or the network failed, so Tune starts the segment again
        except Exception as error:  # the error is deterministic, so trying again would not help
            ray.get(mailbox.post.remote(failure(task, error)))
            payload["jobs"] = []
    bank = feature_bank(**config["features"])
    for job in payload["jobs"]:
        try:
            records[job["key"]] = evaluate_job(Job(**job), bank, device)
        except (OSError, checkpoint.BadCheckpoint):
            raise
        except Exception:
            failed[job["key"]] = traceback.format_exc(limit=-3)
    outcome = {"records": records, "failed": failed}
    return {"outcome": json.dumps(outcome)}  # text, because Tune's loggers would read an object as thousands of metrics
