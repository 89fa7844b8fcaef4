"""The context of one attempt at an experiment: its plan and everything that it works with.

Nothing here has to survive the process, because all results are in the database.
"""

import sys
import threading
from dataclasses import dataclass
from typing import NoReturn

from orchestrator.checkpoints.folders import Folders
from orchestrator.driver.committer import Committer
from orchestrator.driver.ledger import NodeLedger
from orchestrator.intake.check import check
from orchestrator.plan import Plan, plan
from orchestrator.settings import Settings
from orchestrator.spec import ExperimentSpec
from orchestrator.store import Store


@dataclass(frozen=True)
class Attempt:
    """Attempt `number` at `experiment`. Its ledger records what it has done so far."""

    settings: Settings
    store: Store
    experiment: str
    number: int
    spec: ExperimentSpec
    plan: Plan
    ledger: NodeLedger
    committer: Committer
    stopping: threading.Event
    """It is set when the attempt has to end, with or without an outcome."""

    @property
    def name(self) -> str:
        """The name of its runs in Ray."""
        return f"{self.spec.name}-{self.experiment}-a{self.number}"

    @property
    def folders(self) -> Folders:
        """The folders on the storage that all cluster nodes share."""
        return Folders(self.settings.storage)

    def leave(self) -> NoReturn:
        """Ends the process without an outcome. All results so far are kept."""
        self.stopping.set()
        sys.exit(0)


def load(settings: Settings, experiment: str, number: int) -> Attempt:
    """Returns attempt `number`, with the experiment as the database has it.

    Raises ValueError if the database does not have the experiment, or if it was posted under other code.
    """
    store = Store(settings.database_url)
    row = store.experiment(experiment)
    if row is None:
        raise ValueError(f"there is no experiment {experiment!r} in the database")
    spec, stopping = check(row.spec), threading.Event()
    planned = plan(spec)
    return Attempt(
        settings=settings,
        store=store,
        experiment=experiment,
        number=number,
        spec=spec,
        plan=planned,
        ledger=NodeLedger(store, planned, experiment, number),
        committer=Committer(settings, store, row, spec, stopping),
        stopping=stopping,
    )
