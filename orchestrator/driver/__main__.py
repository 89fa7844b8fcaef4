"""One attempt at one experiment, run as a Ray Job: `python -m orchestrator.driver EXPERIMENT ATTEMPT`.

It trains and evaluates everything that is not done yet, and writes each result to the database as soon as it is known.
It can be killed at any time: the next attempt reads from the database what is done, and does the rest.
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
    """Runs the attempt that the command line names. Returns 0 if it reached an outcome or was stopped on purpose."""
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
    # Ray installs its own signal handlers when it connects, so this one is installed afterwards
    signal.signal(signal.SIGTERM, lambda *_: attempt.leave())
    run(attempt)
    return 0


def run(attempt: Attempt) -> None:
    """Does all remaining work, stage by stage, and records how the experiment ended."""
    if not attempt.store.move(attempt.experiment, ExperimentState.RUNNING, attempt=attempt.number):
        return  # the experiment was cancelled meanwhile, or a later attempt has begun
    heartbeat.start(attempt)
    attempt.committer.start()
    trials = Trials(attempt.spec) if attempt.spec.search else None
    train(attempt, leave_out=trials.own(attempt.plan) if trials else ())
    # these modules import Ray Tune, which takes seconds, so training starts before that
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
        attempt.stopping.set()  # the work is done, so nothing may end this process before it has cleaned up
        conclude(attempt, excused(attempt, trials) if trials else ())


if __name__ == "__main__":
    sys.exit(main())
