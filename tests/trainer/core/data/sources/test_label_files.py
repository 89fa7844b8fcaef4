"""Reading the lines of a label file."""

import os
from pathlib import Path

import pytest

from trainer.core.data.errors import DataProblem
from trainer.core.data.sources.label_files import lines, reading


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "images.txt"
    with (
        pytest.raises(
            DataProblem, match=r"images\.txt may not be read: give the user that runs this read access"
        ) as caught,
        reading(path),
    ):
        raise PermissionError(
            13, "Permission denied", str(path)
        )  # raised by hand: a container's root may read everything
    assert caught.value.code == "E_PERM"


def test_only_a_newline_ends_a_line_and_bytes_come_out_as_the_folder_has_them(tmp_path: Path) -> None:
    content = b"bar/a\xc2\x85b.jpg\n\nbar/caf\xe9.jpg"
    (tmp_path / "list.txt").write_bytes(content)
    found = [(line.number, line.text) for line in lines(tmp_path / "list.txt")]
    assert found == [(1, "bar/a\x85b.jpg"), (3, os.fsdecode(b"bar/caf\xe9.jpg"))]
