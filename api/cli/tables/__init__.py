"""The tables that the command line prints: results, the trials of a search, the catalogue, the findings of a check."""

from api.cli.tables.catalogue import catalogue_table, findings_table
from api.cli.tables.fitted import Column, Fitted
from api.cli.tables.results import results_table
from api.cli.tables.search import TRIALS_SHOWN, search_table, without_given_up

__all__ = [
    "TRIALS_SHOWN",
    "Column",
    "Fitted",
    "catalogue_table",
    "findings_table",
    "results_table",
    "search_table",
    "without_given_up",
]
