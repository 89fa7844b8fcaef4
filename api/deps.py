"""What routes depend on, as annotated types: `store: StoreDep` in a route's signature is the application's store."""

from typing import Annotated

from fastapi import Depends, Request

from api.problems import not_found
from orchestrator.checkpoints.gc import Artifacts
from orchestrator.cluster.timing import RayCluster
from orchestrator.estimate.forecast import Cluster
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.store.records import Experiment
from orchestrator.supervisor import Supervisor


def store_of(request: Request) -> Store:
    """Returns the application's database."""
    store: Store = request.app.state.store
    return store


def supervisor_of(request: Request) -> Supervisor:
    """Returns the supervisor that runs beside the application."""
    supervisor: Supervisor = request.app.state.supervisor
    return supervisor


def service_of(request: Request) -> Settings:
    """Returns the settings of the installation."""
    service: Settings = request.app.state.service
    return service


StoreDep = Annotated[Store, Depends(store_of)]
SupervisorDep = Annotated[Supervisor, Depends(supervisor_of)]
ServiceDep = Annotated[Settings, Depends(service_of)]


def experiment_of(experiment_id: str, store: StoreDep) -> Experiment:
    """Returns the experiment that the path names. Raises ApiProblem (404) if it does not exist."""
    row = store.experiment(experiment_id)
    if row is None:
        raise not_found(f"experiment {experiment_id!r}")
    return row


def cluster_of(service: ServiceDep) -> Cluster:
    """Returns the Ray cluster on which steps are timed."""
    return RayCluster(service.ray_address)


def artifacts_of(service: ServiceDep) -> Artifacts:
    """Returns the tracking server, which keeps the committed checkpoints."""
    from orchestrator.tracking.mlflow import Tracker  # mlflow takes two seconds to import: not at the API's start

    return Tracker(service.tracking_uri)


ExperimentDep = Annotated[Experiment, Depends(experiment_of)]
ClusterDep = Annotated[Cluster, Depends(cluster_of)]
ArtifactsDep = Annotated[Artifacts, Depends(artifacts_of)]
