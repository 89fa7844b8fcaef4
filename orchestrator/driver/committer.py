"""Commits finished generations to the tracking server and ships metrics, in a thread beside training.

While the tracking server cannot be reached, the thread waits and training continues. Checkpoints that are not committed
yet stay on shared storage.
"""

import logging
import queue
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.checkpoints.folders import Folders
from orchestrator.plan import Node
from orchestrator.settings import Settings
from orchestrator.spec import ExperimentSpec
from orchestrator.store import Claim, Store
from orchestrator.store.records import Experiment
from orchestrator.tracking.publisher import Publisher
from trainer.core import checkpoint

if TYPE_CHECKING:
    from orchestrator.tracking.mlflow import Tracker

log = logging.getLogger("relearn.driver")

SHIP_S = 2.0
"""Seconds between two rounds, and between two tries while the tracking server cannot be reached."""


def made_by(experiment: str, node: Node) -> str:
    """Returns the label that results carry for the experiment and the node that produced them."""
    return f"{experiment}/{node.title}"


class Stopped(Exception):  # noqa: N818  it is no error
    """Raised instead of waiting any longer when the attempt has to end."""


class Committer:
    """Commits the generations of one attempt, from `start` to `finish`.

    When `stopping` is set, it ends and leaves the rest uncommitted. All public methods are called from the driver's
    main thread.
    """

    def __init__(
        self, settings: Settings, store: Store, experiment: Experiment, spec: ExperimentSpec, stopping: threading.Event
    ) -> None:
        self._settings, self._store, self._experiment, self._spec = settings, store, experiment, spec
        self._waiting: queue.SimpleQueue[tuple[Node, Claim]] = queue.SimpleQueue()
        self._stopping, self._finishing = stopping, threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)

    def start(self) -> None:
        """Starts the thread that commits and ships metrics."""
        self._thread.start()

    def add(self, node: Node, claim: Claim) -> bool:
        """Queues a generation whose checkpoint is complete on shared storage.

        Always returns True, because a lost claim is only noticed at the commit.
        """
        self._waiting.put((node, claim))
        return True

    def finish(self) -> None:
        """Waits until everything is committed and shipped. Raises the error that ended the thread early, if any."""
        self._finishing.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def fetch(self, uri: str, into: Path) -> Path:
        """Downloads a committed checkpoint below `into`, verifies it, and returns its folder.

        Waits while the server cannot be reached. Raises Stopped.
        """
        folder = self.download(uri, into)
        checkpoint.read_manifest(folder)
        return folder

    def download(self, uri: str, into: Path) -> Path:
        """Downloads an artifact below `into`, and returns its path.

        Waits while the server cannot be reached. Raises Stopped.
        """
        from orchestrator.tracking.mlflow import OUTAGE

        while not self._stopping.is_set():
            try:
                return self._tracker.download(uri, into)
            except OUTAGE as error:
                log.warning("%s is needed and the tracking server does not answer: %s", uri, error)
                self._stopping.wait(SHIP_S)
        raise Stopped

    @cached_property
    def _tracker(self) -> "Tracker":
        from orchestrator.tracking.mlflow import Tracker  # mlflow takes two seconds to import; training starts earlier

        return Tracker(self._settings.tracking_uri)

    @cached_property
    def _publisher(self) -> Publisher:
        return Publisher(self._store, self._tracker, self._experiment, self._spec)

    def _run(self) -> None:
        from orchestrator.tracking.mlflow import OUTAGE

        todo: list[tuple[Node, Claim]] = []
        while not self._stopping.is_set():
            last_round = self._finishing.is_set()
            while not self._waiting.empty():
                todo.append(self._waiting.get())
            try:
                while todo:
                    self._commit(*todo[0])
                    todo.pop(0)
                self._publisher.ship()
                if last_round:
                    return
            except OUTAGE as error:
                log.warning("the tracking server at %s does not answer, will try again: %s", self._tracker.uri, error)
                self._stopping.wait(SHIP_S)
            except Exception as error:  # finish() raises it, so that no node counts as committed after an error
                self._error = error
                return
            else:
                self._finishing.wait(SHIP_S)

    def _commit(self, node: Node, claim: Claim) -> None:
        directory = Folders(self._settings.storage).checkpoint(node.key)
        manifest = checkpoint.read_manifest(directory)
        now = time.time()
        self._store.add_epochs({**vars(row), "key": node.key, "at": now} for row in checkpoint.load_history(directory))
        run_id = self._publisher.run_id(node.arm, node.seed)
        uri = self._tracker.commit_checkpoint(run_id, directory, f"checkpoints/g{node.generation:04}")
        by = made_by(self._experiment.id, node)
        if not self._store.finish_generation(claim, by, uri, manifest.weights_sha256, manifest.fingerprint):
            log.warning("%s was claimed by another attempt; its commit is dropped", node.title)
