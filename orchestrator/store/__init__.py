"""The database: experiments, nodes, their measurements, and the tracking runs to which these were published.

It is SQLite (WAL, synchronous=FULL) by default, or the PostgreSQL database of a URL. An attempt writes to a node with
the fencing number of its claim, and the write has no effect once a later claim holds the node. A worker that was
wrongly considered dead therefore cannot overwrite a result. A terminal state never changes.
"""

from orchestrator.store.durations import Durations
from orchestrator.store.experiments import Experiments, KeyReused
from orchestrator.store.holdings import HoldingsQueries
from orchestrator.store.measurements import Measurements
from orchestrator.store.nodes import Nodes
from orchestrator.store.publications import Publications
from orchestrator.store.records import Claim, Standing

__all__ = ["Claim", "KeyReused", "Standing", "Store"]


class Store(Experiments, Nodes, Measurements, Durations, Publications, HoldingsQueries):
    """One database with all its queries. It may be used from several threads and processes."""
