"""The MLflow tracking server: runs, batches of metrics, and checkpoints as artifacts.

No other module uses MLflow. Metrics have the time at which they were measured and not the time at which they are sent.
MLflow's key includes that time, so sending a metric again adds nothing. Training never waits for the tracking server:
an outage delays the publisher and never a worker.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

# MLflow reads these at import. With its defaults, a call to an unreachable server would block for four minutes; the
# publisher retries instead.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from requests.exceptions import HTTPError, RequestException

from trainer.core import checkpoint

OUTAGE = (MlflowException, RequestException, OSError)
"""The errors that are raised if the tracking server cannot be reached or rejects a request."""

_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "404 Client Error", "Could not find a registered artifact repository")
"""Texts in MLflow's errors for an artifact that does not exist, so that a retry is useless."""
CHECKPOINTS = "checkpoints"
"""The folder in a run's artifacts that has one folder per checkpoint of a generation."""
_BATCH = 1000
"""The most metrics that MLflow accepts in one request."""
Measurement = tuple[str, float, int, float]
"""A metric's name, its value, its step, and the time in seconds since the epoch at which it was measured."""


class Tracker:
    """A client of one tracking server. Any call may raise a member of OUTAGE."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._client = MlflowClient(uri)

    def experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """Returns the id of the MLflow experiment `name`, which is created if it does not exist."""
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name, tags=dict(tags)))

    def start_run(self, experiment_id: str, name: str, tags: Mapping[str, str], params: Mapping[str, object]) -> str:
        """Returns the id of the run `name` of the experiment, which is created if it does not exist."""
        found = self._client.search_runs([experiment_id], f"attributes.run_name = '{name}'", max_results=1)
        run = found[0] if found else self._client.create_run(experiment_id, run_name=name)
        self._client.log_batch(
            run.info.run_id,
            params=[Param(key, str(value)) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        return str(run.info.run_id)

    def log(self, run_id: str, measurements: Iterable[Measurement]) -> None:
        """Sends metrics in batches. Sending the same measurements again changes nothing."""
        metrics = [Metric(name, value, round(at * 1000), step) for name, value, step, at in measurements]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags of a run."""
        self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def text(self, run_id: str, name: str, content: str) -> None:
        """Stores a text artifact."""
        self._client.log_text(run_id, content, name)

    def commit_checkpoint(self, run_id: str, directory: Path, path: str) -> str:
        """Uploads a checkpoint to `path` of the run, verifies the stored bytes, and returns its URI.

        Raises BadCheckpoint if the checkpoint in `directory` or the stored one is not complete.
        """
        checkpoint.read_manifest(directory)
        self._client.log_artifacts(run_id, str(directory), path)
        uri = f"{self._client.get_run(run_id).info.artifact_uri}/{path}"
        with tempfile.TemporaryDirectory(prefix="relearn-verify-") as temporary:
            self.fetch_checkpoint(uri, Path(temporary))
        return uri

    def fetch_checkpoint(self, uri: str, into: Path) -> Path:
        """Downloads a committed checkpoint into `into`, verifies it and returns its folder. Raises BadCheckpoint."""
        directory = self.download(uri, into)
        checkpoint.read_manifest(directory)
        return directory

    def download(self, uri: str, into: Path) -> Path:
        """Downloads an artifact, a file or a folder, into `into`. Raises ValueError if it does not exist."""
        into.mkdir(parents=True, exist_ok=True)
        try:
            return Path(download_artifacts(artifact_uri=uri, dst_path=str(into), tracking_uri=self.uri))
        except MlflowException as error:
            if any(sign in f"{error.error_code} {error}" for sign in _NOT_THERE):
                raise ValueError(f"{uri} cannot be downloaded: {error}") from error
            raise

    def checkpoints(self, run_id: str) -> list[str]:
        """Returns the URIs of the run's committed checkpoints, or none if the server does not know the run."""
        try:
            root = self._client.get_run(run_id).info.artifact_uri
            return [
                f"{root}/{found.path}" for found in self._client.list_artifacts(run_id, CHECKPOINTS) if found.is_dir
            ]
        except MlflowException as error:
            if any(sign in f"{error.error_code} {error}" for sign in _NOT_THERE):
                return []
            raise

    def size(self, uri: str) -> int:
        """Returns the bytes of the files directly in an artifact folder, or 0 if the folder does not exist."""
        try:
            found = get_artifact_repository(uri, tracking_uri=self.uri).list_artifacts()
        except MlflowException as error:
            if any(sign in f"{error.error_code} {error}" for sign in _NOT_THERE):
                return 0
            raise
        return sum(each.file_size or 0 for each in found)

    def delete(self, uri: str) -> None:
        """Deletes an artifact folder if it exists."""
        try:
            get_artifact_repository(uri, tracking_uri=self.uri).delete_artifacts()
        except HTTPError as error:
            if error.response is None or error.response.status_code != 404:
                raise

    def finish(self, run_id: str, status: str) -> None:
        """Sets a run's terminal status: FINISHED, FAILED or KILLED."""
        self._client.set_terminated(run_id, status=status)
