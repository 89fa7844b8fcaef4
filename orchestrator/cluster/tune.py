"""Runs evaluations on Ray Tune, with one Tune trial per evaluation node.

Each result is reported as soon as it is there, with the key of its node, and never by position.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import torch
from pydantic import TypeAdapter
from ray import tune

from evaluators import AnyEvaluator, EvaluatorSpec
from evaluators import evaluate as evaluation
from evaluators.base import Context
from evaluators.features.bank import Bank
from orchestrator.checkpoints.folders import Folders
from orchestrator.cluster.payloads import Job
from orchestrator.spec import Resources
from trainer.core import checkpoint, data, models
from trainer.core.determinism import pin_threads


def run_jobs(
    name: str,
    jobs: list[Job],
    resources: Resources,
    folders: Folders,
    on_result: Callable[[str, dict[str, Any]], None],
    on_error: Callable[[str, str], None],
    features_gib: float = 0,
) -> None:
    """Runs all `jobs`, and waits for them.

    As soon as a job ends, `on_result` is called with its key and record (evaluators.evaluate), or `on_error` with its
    key and the error, in the thread that called this function. Workers keep up to `features_gib` GiB of layer outputs
    on disk for further jobs.
    """

    def trial(config: dict[str, Any]) -> dict[str, Any]:
        return _run_job(config)

    trial.__name__ = name  # the Ray dashboard shows it
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": resources.cpus, "gpu": resources.gpus}),
        param_space={
            "job": tune.grid_search([asdict(job) for job in jobs]),
            "threads": resources.threads,
            "features": {"directory": str(folders.features), "gib": features_gib},
        },
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["job"]["title"].replace("/", "-"),
            trial_dirname_creator=lambda trial: trial.config["job"]["key"][:16],
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(folders.ray),
            failure_config=tune.FailureConfig(max_failures=resources.max_worker_failures),
            callbacks=[_Report(on_result, on_error)],
            verbose=0,
        ),
    )
    tuner.fit()


class _Report(tune.Callback):  # type: ignore[misc]
    def __init__(self, on_result: Callable[[str, dict[str, Any]], None], on_error: Callable[[str, str], None]) -> None:
        self._on_result, self._on_error = on_result, on_error

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks to restore an experiment, which is never done here

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._on_result(trial.config["job"]["key"], json.loads(trial.last_result["record"]))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._on_error(trial.config["job"]["key"], trial.get_error().__str__()[-2000:])


def _run_job(config: dict[str, Any]) -> dict[str, Any]:
    pin_threads(config["threads"])
    device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
    record = evaluate_job(Job(**config["job"]), feature_bank(**config["features"]), device)
    return {"record": json.dumps(record)}  # text, because Tune's loggers would read an object as thousands of metrics


def evaluate_job(
    job: Job, bank: Bank, device: torch.device, clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Runs an evaluation and returns its record (evaluators.evaluate), with its duration in `seconds`."""
    began = clock()
    evaluator: AnyEvaluator = TypeAdapter(EvaluatorSpec).validate_python(job.evaluator)
    source, target = _data(job.source), _data(job.target)
    model_spec: models.AnyModel = TypeAdapter(models.ModelSpec).validate_python(job.model)
    model = models.skeleton(model_spec, len(source.class_names())).to_empty(device="cpu")
    checkpoint.load_weights(Path(job.checkpoint), model)
    found = evaluation.evaluate(evaluator, model.to(device).eval(), source, target, Context(bank))
    found["details"]["seconds"] = round(clock() - began, 3)
    return found


def feature_bank(directory: str, gib: float) -> Bank:
    """Returns a bank that keeps at most `gib` GiB of layer outputs in `directory`; with 0 it keeps nothing."""
    limit = int(gib * 2**30)
    return Bank(Path(directory), limit, min(limit, Bank.entry_bytes)) if limit else Bank()


def _data(settings: dict[str, Any]) -> data.AnyData:
    spec: data.AnyData = TypeAdapter(data.DataSpec).validate_python(settings)
    return spec
