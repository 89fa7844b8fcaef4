"""What routes are given: the store, the supervisor and the experiment that the path names."""

from typing import Annotated

from fastapi import Depends, Request

from api.problems import not_found
from orchestrator.store import Row, Store
from orchestrator.supervisor import Supervisor


def store_of(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def supervisor_of(request: Request) -> Supervisor:
    supervisor: Supervisor = request.app.state.supervisor
    return supervisor


TheStore = Annotated[Store, Depends(store_of)]
TheSupervisor = Annotated[Supervisor, Depends(supervisor_of)]


def experiment_of(experiment_id: str, store: TheStore) -> Row:
    row = store.experiment(experiment_id)
    if row is None:
        raise not_found(f"experiment {experiment_id!r}")
    return row


TheExperiment = Annotated[Row, Depends(experiment_of)]
