"""One attempt at one experiment, run as a Ray Job: `python -m orchestrator.driver EXPERIMENT ATTEMPT`.

It trains what is not trained, evaluates what is not evaluated, and writes everything to the database as it happens. It can
be killed anywhere: the next attempt asks the database what is done and does the rest.
"""

import argparse
import logging
import signal
import sys

from orchestrator.cluster import jobs
from orchestrator.driver import heartbeat
from orchestrator.driver.attempt import Attempt, load
from orchestrator.driver.train import train
from orchestrator.plan.search import Trials
from orchestrator.settings import Settings
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store


def main() -> int:
    """Runs the attempt that the command line names. Exit code 0 where it came to an outcome or was stopped on purpose."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.driver", description=__doc__.split("\n\n")[0])
    parser.add_argument("experiment")
    parser.add_argument("attempt", type=int)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    jobs.connect()
    settings = Settings.from_environment()
    try:
        attempt = load(settings, options.experiment, options.attempt)
    except ValueError as error:
        Store(settings.database_url).move(
            options.experiment,
            ExperimentState.FAILED,
            attempt=options.attempt,
            reason=Reason.USER_ERROR,
            message=str(error),
        )
        raise
    # Ray installs handlers of its own when it connects, so ours come after it
    signal.signal(signal.SIGTERM, lambda *_: attempt.leave())
    run(attempt)
    return 0


def run(attempt: Attempt) -> None:
    """Does everything that is left, station by station, and records how the experiment ended."""
    if not attempt.store.move(attempt.experiment, ExperimentState.RUNNING, attempt=attempt.number):
        return  # cancelled meanwhile, or a later attempt has begun
    heartbeat.start(attempt)
    attempt.committer.start()
    trials = Trials(attempt.spec) if attempt.spec.search else None
    train(attempt, leave_out=trials.own(attempt.plan) if trials else ())
    # Ray Tune: seconds that training need not wait for
    from orchestrator.driver.conclude import conclude
    from orchestrator.driver.evaluate import evaluate
    from orchestrator.driver.import_weights import import_all
    from orchestrator.driver.search import excused, search

    if trials is not None:
        search(attempt, trials)
    import_all(attempt)
    evaluate(attempt)
    attempt.committer.finish()
    if not attempt.stopping.is_set():
        attempt.stopping.set()  # the work is done: from here on nothing may end this process before it has cleaned up
        conclude(attempt, excused(attempt, trials) if trials else ())


if __name__ == "__main__":
    sys.exit(main())
