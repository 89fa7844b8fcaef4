"""The footnotes on what the paper leaves open."""

import re

import pytest

from orchestrator import presets
from orchestrator.presets.open_settings import NOTES
from orchestrator.store import Store
from tests.orchestrator.presets.builders import PAPER, read


def test_every_open_setting_is_a_footnote_somewhere() -> None:
    shown = {note for name in PAPER for table in presets.known()[name].spec["tables"] for note in table["notes"]}
    assert shown == set(NOTES.values())
    for name in PAPER:
        for table in presets.known()[name].spec["tables"]:
            assert table.get("published") is None or table["source"].startswith("SEAL, CVPR 2023, ")


@pytest.mark.parametrize("name", ["paper/table-2", "digits/table-2"])
def test_footnotes_stay_true_for_a_spec_with_other_settings(store: Store, name: str) -> None:
    """A note on something that a spec may change states it as a property of the preset."""
    spec, _, _ = read(store, {"preset": name, "seeds": [0, 1, 2], "train": {"recipe": "official-code", "epochs": 40}})
    notes = [note for table in spec.tables for note in table.notes]
    changeable = [note for note in notes if re.search("seed|[Ll]earning rate|tenth|S is 2", note)]
    assert changeable
    for note in changeable:
        assert note.startswith(("The preset", "SEAL's open points, as the preset has them")), note
