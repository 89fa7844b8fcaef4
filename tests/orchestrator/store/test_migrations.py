"""Migrations of fresh databases, and of databases of earlier and later versions.

`before_migrations.sql` was written by the last version without migrations. It contains three experiments with results,
a capsule, machines, warnings, runs and a timing run.
"""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from orchestrator.states import ExperimentState, NodeState, Reason
from orchestrator.store import Store, migrations
from orchestrator.store.schema import schema
from tests.orchestrator.builders import CPU, DETAILS, claimed, node, planned, small, submitted

DUMP = Path(__file__).with_name("before_migrations.sql").read_text()
WITH_CAPSULE, FAILED, QUEUED = (
    *("exp_20251124-160000-9f5fa9c8", "exp_20251124-160140-50022173"),
    "exp_20251124-160146-dbe076fe",
)
FOLDED = {"details", "machines", "capsules"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of the last version without migrations."""
    path = tmp_path / "relearn.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(DUMP)
    connection.close()
    return path


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def tables(path: Path) -> set[str]:
    return {name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")} - {"sqlite_sequence"}


def described(engine: sa.Engine) -> dict[str, Any]:
    """Maps each table to its columns, keys, indexes and constraints in the database."""
    found = sa.inspect(engine)
    return {
        table: {
            "columns": [column | {"type": str(column["type"])} for column in found.get_columns(table)],
            "primary key": found.get_pk_constraint(table),
            "foreign keys": sorted(found.get_foreign_keys(table), key=str),
            "indexes": sorted(found.get_indexes(table), key=str),
            "unique": sorted(found.get_unique_constraints(table), key=str),
        }
        for table in found.get_table_names()
    }


def test_the_migrations_lead_to_the_schema_of_a_fresh_database(url: str, engine: sa.Engine) -> None:
    Store(url).close()
    fresh = described(engine)
    assert {"experiments", "nodes", "alembic_version"} <= fresh.keys()
    with engine.begin() as connection:
        schema.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))
    with engine.begin() as connection:
        migrations.upgrade(connection, "head")
    assert described(engine) == fresh
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema) == []


def test_the_known_revisions_are_those_of_the_migrations(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        found = ScriptDirectory.from_config(migrations.config(connection)).walk_revisions()
        assert tuple(each.revision for each in found)[::-1] == migrations.REVISIONS


def test_a_database_without_revision_keeps_every_row(path: Path) -> None:
    names = {name: [f'"{column[1]}"' for column in rows(path, f"PRAGMA table_info({name})")] for name in tables(path)}
    queries = {name: f"SELECT {', '.join(columns)} FROM {name} ORDER BY rowid" for name, columns in names.items()}
    before = {name: rows(path, query) for name, query in queries.items()}
    assert all(before.values())
    Store(f"sqlite:///{path}").close()
    assert tables(path) == names.keys() - FOLDED | {"alembic_version"}
    assert {name: rows(path, queries[name]) for name in names.keys() - FOLDED} == {
        name: before[name] for name in names.keys() - FOLDED
    }
    folded = {
        "details": "SELECT key, details FROM nodes WHERE details IS NOT NULL",
        "machines": "SELECT key, fingerprint FROM nodes WHERE fingerprint IS NOT NULL",
        "capsules": "SELECT id, capsule FROM experiments WHERE capsule IS NOT NULL",
    }
    assert {name: sorted(rows(path, query)) for name, query in folded.items()} == {
        name: sorted(before[name]) for name in FOLDED
    }
    assert rows(path, "SELECT * FROM alembic_version") == [(migrations.REVISIONS[-1],)]


def test_a_database_without_revision_is_read_through_the_store(path: Path) -> None:
    store = Store(f"sqlite:///{path}")
    found = store.experiments()
    assert [(each.id, each.state, each.reason) for each in found] == [
        (QUEUED, ExperimentState.QUEUED, None),
        (FAILED, ExperimentState.FAILED, Reason.DIVERGED),
        (WITH_CAPSULE, ExperimentState.SUCCEEDED, None),
    ]
    assert store.capsule_of(WITH_CAPSULE) == {"relearn_capsule": 1, "sha256": "ff"}
    assert store.capsule_of(FAILED) is None
    assert store.answered("key", "a" * 64) == WITH_CAPSULE
    assert list(store.machines_of(FAILED).values()) == [CPU] * 3
    assert list(store.details_of(WITH_CAPSULE).values()) == [DETAILS] * 2
    assert set(store.details_of(FAILED)) == set()
    assert sorted(each.state for each in store.nodes_of(FAILED).values()) == [
        NodeState.FAILED,
        NodeState.SKIPPED,
        *[NodeState.SUCCEEDED] * 5,
    ]
    (warned,) = store.warnings_of(FAILED)
    assert (warned.arm, warned.generation, warned.warnings) == ("normal", 2, ["no forgetting happened"])
    assert [(each.run_id, each.shipped_epoch, each.shipped_result) for each in store.runs_of(WITH_CAPSULE)] == [
        ("run1", 2, 1),
        ("run2", 0, 0),
    ]
    timing = store.timing("d" * 64)
    assert timing is not None
    assert timing.content == {"step_s": [0.1, 0.2], "judged_image_s": 0.001, "machine": "cpu"}
    store.close()


def check_usable(store: Store) -> None:
    """Checks that finished nodes are found, and that open ones can be finished and read."""
    raw = small(arms=[{"name": "llf", "method": {"name": "llf"}}])
    experiment = submitted(store, raw)
    key, evaluation = (node(planned(raw), "llf", 1, kind).key for kind in ("generation", "evaluation"))
    assert sum(use.cached for use in store.uses_of(experiment)) == 1
    score = {"top1": {"value": 0.5, "n": 1, "low": None, "high": None}}
    assert store.finish_generation(claimed(store, key, experiment), "by", "mlflow://c", "c" * 64, CPU)
    claim = claimed(store, evaluation, experiment)
    assert store.finish_evaluation(claim, "by", "accuracy", "digits", score, {}, DETAILS)
    assert store.details_of(experiment) == {evaluation: DETAILS}
    assert store.machines_of(experiment)[key] == CPU
    assert [row.value for row in store.results_of(experiment, "llf", 0)] == [0.5]


def test_an_upgraded_database_can_be_used(path: Path) -> None:
    store = Store(f"sqlite:///{path}")
    check_usable(store)
    store.close()


def test_missing_tables_of_an_older_database_are_created(path: Path) -> None:
    """Older versions created each of these tables when they opened a database without it."""
    with sqlite3.connect(path) as connection:
        connection.executescript("".join(f"DROP TABLE {name};" for name in (*FOLDED, "timings")))
    connection.close()
    store = Store(f"sqlite:///{path}")
    assert len(store.experiments()) == 3
    assert (store.capsule_of(WITH_CAPSULE), store.timing("d" * 64)) == (None, None)
    assert (store.machines_of(FAILED), store.details_of(WITH_CAPSULE)) == ({}, {})
    assert [row.value for row in store.results_of(WITH_CAPSULE, "normal", 0)] == [0.75]
    check_usable(store)
    store.close()


def test_a_database_of_a_later_version_is_refused_and_not_changed(url: str, engine: sa.Engine) -> None:
    Store(url).close()
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    before = described(engine)
    with pytest.raises(migrations.UnknownRevision) as raised:
        Store(url)
    shown = engine.url.render_as_string(hide_password=True)
    assert str(raised.value) == (
        f"the database {shown} has schema revision '9999', which this version of relearn does not know: "
        "install the version of relearn that wrote it"
    )
    assert described(engine) == before


def test_the_refusal_names_no_password(path: Path) -> None:
    Store(f"sqlite:///{path}").close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.url = sa.make_url("postgresql+psycopg://relearn:secret@db/relearn")
    with pytest.raises(migrations.UnknownRevision, match=r"postgresql\+psycopg://relearn:\*\*\*@db/relearn"):
        migrations.bring_up_to_date(engine, engine)
    engine.dispose()


@pytest.mark.parametrize("dump", ["", DUMP])
def test_concurrent_openings_of_one_database_all_succeed(tmp_path: Path, dump: str) -> None:
    path = tmp_path / "relearn.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(dump)
    connection.close()

    def count(_: int) -> int:
        store = Store(f"sqlite:///{path}")
        found = len(store.experiments())
        store.close()
        return found

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(count, range(8))) == [3 if dump else 0] * 8
    assert rows(path, "SELECT * FROM alembic_version") == [(migrations.REVISIONS[-1],)]


OPENING = """
import json, sys
from orchestrator.store import Store
print(flush=True)
sys.stdin.readline()
Store(sys.argv[1]).close()
print(json.dumps("alembic" in sys.modules))
"""


def test_two_processes_that_open_a_new_database_at_once_both_succeed_without_alembic(url: str) -> None:
    """Importing alembic would slow down every start of the server and of a driver."""
    command = [sys.executable, "-c", OPENING, url]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for each in both:
        assert each.stdout is not None
        each.stdout.readline()  # it has imported everything
    for each in both:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    answers = [each.communicate(timeout=120)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert [json.loads(answer) for answer in answers] == [False, False]
