"""What one attempt at an experiment is to do, and what it works with; the database holds what matters."""

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
    """Attempt `number` at `experiment`; what it has done so far is in its ledger."""

    settings: Settings
    store: Store
    experiment: str
    number: int
    spec: ExperimentSpec
    plan: Plan
    ledger: NodeLedger
    committer: Committer
    stopping: threading.Event
    """Set when the attempt is to end, with an outcome or without."""

    @property
    def name(self) -> str:
        """What its runs are called in Ray."""
        return f"{self.spec.name}-{self.experiment}-a{self.number}"

    @property
    def folders(self) -> Folders:
        """The folders of the storage that all nodes share."""
        return Folders(self.settings.storage)

    def leave(self) -> NoReturn:
        """Ends the process without an outcome; what is done stays done."""
        self.stopping.set()
        sys.exit(0)


def load(settings: Settings, experiment: str, number: int) -> Attempt:
    """The attempt as the database has it. Raises ValueError where it is not there, or was posted under other code."""
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
