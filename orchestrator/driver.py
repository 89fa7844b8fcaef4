"""One attempt at one experiment, run as a Ray Job: `python -m orchestrator.driver EXPERIMENT ATTEMPT`.

It trains what is not trained, evaluates what is not evaluated, and writes everything to the database as it happens. It can
be killed anywhere: the next attempt asks the database what is done and does the rest.
"""

import argparse
import logging
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from orchestrator import plan as planning
from orchestrator import ray_board, ray_cluster, ray_train
from orchestrator.bring_in import bring_in
from orchestrator.checks import check
from orchestrator.commit import Committer, Stopped, made_by
from orchestrator.plan import Node, Segment
from orchestrator.settings import Settings
from orchestrator.spec import Weights
from orchestrator.store import TERMINAL, Claim, Store
from orchestrator.trials import Leg, Legs, Trials
from trainer import methods
from trainer.core import checkpoint

if TYPE_CHECKING:
    from orchestrator import ray_search, ray_tune

log = logging.getLogger("relearn.driver")

HEARTBEAT_S = 5.0


class Driver:
    """Holds what one attempt knows; the database holds what matters."""

    def __init__(self, settings: Settings, experiment: str, attempt: int) -> None:
        self._settings, self._experiment, self._attempt = settings, experiment, attempt
        self._store = Store(settings.database_url)
        row = self._store.experiment(experiment)
        if row is None:
            raise ValueError(f"there is no experiment {experiment!r} in the database")
        self._spec = check(row["spec"])
        self._plan = planning.plan(self._spec)
        self._name = f"{self._spec.name}-{experiment}-a{attempt}"
        self._claims: dict[str, Claim] = {}
        stored = self._store.nodes_of(experiment)
        if self._plan.nodes.keys() != stored.keys():
            raise ValueError("the code has changed since the experiment was posted, so its work has other keys: post it again")
        self._done = {key for key, node in stored.items() if node["state"] == "SUCCEEDED"}
        self._failed: dict[str, str] = {}
        """Reason by key of every node that failed or was skipped because another did."""
        self._trials = Trials(self._spec) if self._spec.search else None
        self._given_up: set[str] = set()
        """What only trials of the search need that have not won."""
        self._lost_lanes: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._committer = Committer(settings, self._store, row, self._spec, self._stopping)

    def run(self) -> None:
        """Does everything that is left, then records how the experiment ended."""
        if not self._store.move(self._experiment, "RUNNING", attempt=self._attempt):
            return  # cancelled meanwhile, or a later attempt has begun
        threading.Thread(target=self._tend, name="tend", daemon=True).start()
        self._committer.start()
        self._look_elsewhere()
        self._train()
        self._search()
        self._bring_in()
        self._evaluate()
        self._committer.finish()
        if self._stopping.is_set():
            return
        skipped = [key for key, reason in self._failed.items() if reason == "DEPENDENCY"]
        self._store.release(self._experiment, {*skipped, *self._given_up})
        excused = self._trials.excused(self._plan, self._failed, self._objectives()) if self._trials else set()
        if failed := {key: reason for key, reason in self._failed.items() if key not in excused}:
            reason = next((each for each in failed.values() if each != "DEPENDENCY"), "DEPENDENCY")
            message = f"{len(failed)} of {len(self._plan.nodes)} nodes failed or were skipped; the rest is complete"
            self._store.move(self._experiment, "FAILED", attempt=self._attempt, reason=reason, message=message)
        else:
            self._store.move(self._experiment, "SUCCEEDED", attempt=self._attempt)
        self._clean_up()

    def leave(self) -> NoReturn:
        """Ends the attempt without an outcome; what is done stays done."""
        self._stopping.set()
        sys.exit(0)

    # --- what is there already ---

    def _look_elsewhere(self) -> None:
        """Fails what only an earlier experiment could make, and is not there any more."""
        gone = {key for key, node in self._plan.nodes.items() if node.elsewhere and key not in self._done}
        for key in gone:
            why = f"the checkpoint of {self._plan.nodes[key].title} was removed since this was posted: train it again"
            self._fail({key}, "DEPENDENCY", why)

    def _bring_in(self) -> None:
        """Makes checkpoints of ours of the weights that arms name."""
        waiting = [node for key, node in self._plan.nodes.items() if node.kind == "checkpoint" and key not in self._done]
        while waiting and not self._stopping.is_set():
            for node in waiting:
                if self._claim(node.key):
                    self._bring_one_in(node)
            waiting = [node for node in waiting if node.key not in self._done and node.key not in self._failed]
            if waiting:
                self._stopping.wait(1.0)  # another experiment is at them

    def _bring_one_in(self, node: Node) -> None:
        arm = self._spec.arm(node.arm)
        assert isinstance(arm.checkpoint, Weights)
        folder = ray_board.checkpoint_folder(self._settings.storage, node.key)
        aside = self._settings.storage / "fetched" / node.key
        try:
            if not self._finished_on_disk(node.key):
                model, data = self._spec.model_of(arm), self._spec.data_of(arm)
                bring_in(arm.checkpoint, model, data, node.key, folder, lambda uri: self._committer.download(uri, aside))
        except Stopped:
            return
        except (OSError, ValueError, ImportError) as error:
            self._fail({node.key}, "USER_ERROR", str(error))
        else:
            self._generation_done(node.key)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    # --- training ---

    def _train(self) -> None:
        todo = {key for key, node in self._plan.nodes.items() if node.kind == "generation"} - self._done - self._failed.keys()
        for key in [key for key in self._plan.nodes if key in todo]:
            if self._finished_on_disk(key) and self._claim(key):
                self._generation_done(key)
        todo -= self._done
        if self._trials is not None:
            todo -= self._trials.own(self._plan)
        if not todo:
            return
        lanes = ray_train.Lanes(
            self._name,
            self._lane_count(planning.segments(self._plan, todo)),
            self._spec.resources,
            self._settings.storage,
            on_lane_lost=lambda lane, why: self._lost_lanes.put((lane, why)),
        )
        if lanes.count == 0:
            wanted = self._spec.resources
            need = f"room for {wanted.workers} workers of {wanted.cpus} CPUs and {wanted.gpus:g} GPUs"
            self._fail(todo, "NO_CAPACITY", f"the Ray cluster has no {need}")
            return
        lanes.start()
        alive, in_flight = lanes.count, set[str]()
        while not self._stopping.is_set():
            left = todo - self._done - self._failed.keys()
            if not left:
                break
            for segment in planning.segments(self._plan, left - in_flight):
                if (segment.parent is None or segment.parent in self._done) and self._claim_all(segment):
                    lanes.offer([self._task(segment)])
                    in_flight |= {node.key for node in segment.nodes}
            for message in lanes.drain(timeout_s=0.5):
                self._receive(message)
            while not self._lost_lanes.empty():
                lane, why = self._lost_lanes.get()
                alive -= 1
                if task := lanes.abandon(lane):
                    self._fail_first(task.keys, "WORKER_LOST", why)
                if alive == 0:
                    self._fail(todo - self._done - self._failed.keys(), "WORKER_LOST", why)
        if not self._stopping.is_set():
            lanes.close()

    def _receive(self, message: ray_board.Message) -> None:
        match message:
            case ray_board.EpochDone(key, row):
                self._store.add_epochs([{"key": key, **row}])
            case ray_board.GenerationDone(key):
                self._generation_done(key)
            case ray_board.SegmentFailed(task, reason, text):
                log.error("%s: %s", reason, text)
                self._fail_first(task.keys, reason, text)
            case ray_board.LaneReady(lane):
                log.info("lane %d is up", lane)
            case ray_board.Resumed(key, epoch, bitwise):
                how = "bitwise" if bitwise else "statistically: threads, device or torch changed"
                log.warning("%s resumed after epoch %d (%s)", self._plan.nodes[key].title, epoch, how)

    def _generation_done(self, key: str) -> None:
        if key not in self._done and key in self._claims:
            self._done.add(key)
            self._committer.add(self._plan.nodes[key], self._claims[key])

    def _task(self, segment: Segment) -> ray_board.Task:
        first = segment.nodes[0]
        parent = str(self._checkpoint(segment.parent)) if segment.parent else None
        spec = self._spec.train_spec(self._spec.arm(first.arm), first.seed).model_dump_json()
        keys = tuple(node.key for node in segment.nodes)
        method = self._spec.arm(first.arm).method
        assert method is not None
        plugin = methods.PLUGINS.get(method.name)
        code = plugin.code_sha256 if plugin else None
        return ray_board.Task(spec, first.generation, keys, parent, code, str(self._settings.storage))

    def _lane_count(self, chains: list[Segment]) -> int:
        """As many as can run at the same time: chains that nothing continues, and workers that the cluster can hold."""
        continued = {chain.parent for chain in chains}
        widest = sum(chain.key not in continued for chain in chains)
        return min(widest, ray_train.capacity(self._spec.resources))

    # --- search ---

    def _search(self) -> None:
        """Trains and judges the trials of a search as far as they are worth it; what they have in common is there already."""
        if self._trials is None or self._stopping.is_set():
            return
        from orchestrator import ray_search  # likewise

        legs = Legs(self._trials, self._done, self._failed, self._objectives, self._claim)
        if not legs.over:
            calls = ray_search.Calls(self._work, self._receive, self._evaluated, self._fail_first, self._stopping.is_set)
            settings = self._settings
            ray_search.search(
                f"{self._name}-search", legs, calls, self._spec.resources, settings.storage, settings.features_gib
            )
        self._given_up = self._trials.unwanted(self._plan, self._objectives()) - self._done - self._failed.keys()

    def _work(self, leg: Leg) -> "ray_search.Work":
        from orchestrator import ray_search

        task = self._task(Segment(leg.train)) if leg.train else None
        trained = {node.key: ray_board.checkpoint_folder(self._settings.storage, node.key) for node in leg.train}
        return ray_search.Work(task, [self._job(node, trained.get(str(node.parent))) for node in leg.judge])

    def _objectives(self) -> dict[str, float | None]:
        """The scores that the search goes by; an evaluation that has no such score fails."""
        assert self._trials is not None
        metric = self._trials.search.objective.metric
        found = self._store.scores_of(self._experiment, metric)
        if without := (self._trials.objective_keys & self._done) - found.keys():
            self._fail(
                without, "USER_ERROR", f"objective.metric {metric!r} is no score of its evaluator: the results list them"
            )
        return found

    # --- evaluation ---

    def _evaluate(self) -> None:
        from orchestrator import ray_tune  # likewise

        over = self._done | self._given_up
        waiting = {key: node for key, node in self._plan.nodes.items() if node.kind == "evaluation" and key not in over}
        for key, node in list(waiting.items()):
            if node.parent in self._failed:
                self._failed[key] = "DEPENDENCY"
                del waiting[key]
        round_ = 0
        while waiting and not self._stopping.is_set():
            jobs = [self._job(node) for key, node in waiting.items() if self._claim(key)]
            if jobs:
                round_ += 1
                ray_tune.evaluate(
                    f"{self._name}-evaluate{round_}",
                    jobs,
                    self._spec.resources,
                    self._settings.storage,
                    self._evaluated,
                    lambda key, why: self._fail({key}, "USER_ERROR", why),
                    self._settings.features_gib,
                )
            else:
                self._stopping.wait(1.0)  # another experiment is at them
                self._done |= {key for key, node in self._nodes().items() if node["state"] == "SUCCEEDED"}
            waiting = {key: node for key, node in waiting.items() if key not in self._done and key not in self._failed}

    def _job(self, node: Node, folder: Path | None = None) -> "ray_tune.Job":
        """The evaluation of a checkpoint in `folder`, by default of one that is there already."""
        from orchestrator import ray_tune

        assert node.parent is not None
        assert node.evaluator is not None
        assert node.target is not None
        arm = self._spec.arm(node.arm)
        return ray_tune.Job(
            key=node.key,
            title=node.title,
            checkpoint=str(folder or self._checkpoint(node.parent)),
            model=self._spec.model_of(arm).model_dump(mode="json"),
            source=self._spec.data_of(arm).model_dump(mode="json"),
            target=node.target,
            evaluator=node.evaluator,
        )

    def _evaluated(self, key: str, record: dict[str, Any]) -> None:
        node = self._plan.nodes[key]
        assert node.evaluator is not None
        what = made_by(self._experiment, node), node.evaluator["name"], node.target_label
        self._store.finish_evaluation(self._claims[key], *what, record["scores"], record["curves"], record["details"])
        self._done.add(key)

    # --- nodes ---

    def _nodes(self) -> dict[str, Any]:
        return dict(self._store.nodes_of(self._experiment))

    def _claim(self, key: str) -> bool:
        """Whether this attempt may make the node; notices one that another experiment has made meanwhile."""
        if (claim := self._store.claim(key, self._experiment, self._attempt)) is not None:
            self._claims[key] = claim
        elif key not in self._claims and self._nodes()[key]["state"] == "SUCCEEDED":
            self._done.add(key)
        return claim is not None

    def _claim_all(self, segment: Segment) -> bool:
        return all(self._claim(node.key) for node in segment.nodes)

    def _fail_first(self, keys: Sequence[str], reason: str, message: str) -> None:
        """Fails the node that a segment or leg did not get past; those behind it only need it."""
        left = [key for key in keys if key not in self._done]
        self._fail(set(left[:1]), reason, message)

    def _fail(self, keys: set[str], reason: str, message: str) -> None:
        """Fails `keys` and marks every node that needs one of them."""
        for key in keys:
            if claim := self._claims.get(key) or self._store.claim(key, self._experiment, self._attempt):
                self._store.fail_node(claim, reason, message)
            self._failed[key] = reason
        for key, node in self._plan.nodes.items():
            if node.parent in self._failed and key not in self._failed and key not in self._done:
                self._failed[key] = "DEPENDENCY"

    def _finished_on_disk(self, key: str) -> bool:
        """Whether an earlier attempt trained the generation but did not live to commit it."""
        try:
            found = checkpoint.read_manifest(ray_board.checkpoint_folder(self._settings.storage, key))
        except checkpoint.BadCheckpoint:
            return False
        return found.key == key

    def _checkpoint(self, key: str) -> Path:
        """Directory of a finished generation's checkpoint; fetched from the tracking server where it is not on disk."""
        if self._finished_on_disk(key):
            return ray_board.checkpoint_folder(self._settings.storage, key)
        try:
            return self._committer.fetch(self._nodes()[key]["checkpoint_uri"], self._settings.storage / "fetched" / key)
        except Stopped:
            self.leave()

    def _clean_up(self) -> None:
        """Removes the working copies of what is committed and nobody else waits for, and Ray's scratch."""
        needed = self._store.needed_by_others(self._experiment)
        for key, node in self._nodes().items():
            if node["kind"] != "evaluation" and node["state"] == "SUCCEEDED" and key not in needed:
                shutil.rmtree(ray_board.checkpoint_folder(self._settings.storage, key), ignore_errors=True)
                shutil.rmtree(ray_board.progress_folder(self._settings.storage, key), ignore_errors=True)
                shutil.rmtree(self._settings.storage / "fetched" / key, ignore_errors=True)
        for scratch in (self._settings.storage / "ray").glob(f"{self._spec.name}-{self._experiment}-*"):
            shutil.rmtree(scratch, ignore_errors=True)

    # --- beside the work ---

    def _tend(self) -> None:
        """Says that this attempt lives; leaves at once when a later attempt has taken over."""
        while not self._stopping.is_set():
            state = self._store.heartbeat(self._experiment, self._attempt)
            if state is None or state in TERMINAL:
                os._exit(3)  # at once, whatever the other threads are at
            if state == "CANCELLING":
                self._stopping.set()
            self._stopping.wait(HEARTBEAT_S)


def main() -> int:
    """0 when the attempt ran to an outcome or was stopped on purpose."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.driver", description=__doc__.split("\n\n")[0])
    parser.add_argument("experiment")
    parser.add_argument("attempt", type=int)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    ray_cluster.connect()
    settings = Settings.from_environment()
    try:
        driver = Driver(settings, options.experiment, options.attempt)
    except ValueError as error:
        Store(settings.database_url).move(
            options.experiment, "FAILED", attempt=options.attempt, reason="USER_ERROR", message=str(error)
        )
        raise
    # Ray installs handlers of its own when it connects, so ours come after it
    signal.signal(signal.SIGTERM, lambda *_: driver.leave())
    driver.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
