"""`python -m api` refuses what it cannot serve, before it listens."""

import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.__main__ import main
from orchestrator.store import Store


def test_a_database_of_a_later_version_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'relearn.db'}"
    Store(url).close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    monkeypatch.setattr(sys, "argv", ["python -m api"])
    monkeypatch.setenv("RELEARN_HOME", str(tmp_path))
    monkeypatch.setenv("RELEARN_DATABASE_URL", url)
    assert main() == 2
    remedy = "which this version of relearn does not know: install the version of relearn that wrote it"
    assert capsys.readouterr().err == f"the database {url} has schema revision '9999', {remedy}\n"
