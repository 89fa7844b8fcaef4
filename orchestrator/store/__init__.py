"""The database is the truth: experiments, nodes, what they measured, and where that was published.

SQLite (WAL, synchronous=FULL) by default, PostgreSQL by URL. Every write of an attempt carries its fencing number and does
nothing once a later attempt holds the node, so a worker that was thought dead cannot spoil a result. A terminal state never
changes.
"""

from orchestrator.store.durations import Durations
from orchestrator.store.experiments import Experiments, KeyReused
from orchestrator.store.holdings import Upkeep
from orchestrator.store.measurements import Measured
from orchestrator.store.nodes import Nodes
from orchestrator.store.publications import Published
from orchestrator.store.records import Claim, Standing

__all__ = ["Claim", "KeyReused", "Standing", "Store"]


class Store(Experiments, Nodes, Measured, Durations, Published, Upkeep):
    """One database; safe to use from several threads and processes."""
