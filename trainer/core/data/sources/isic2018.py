"""ISIC 2018 task 3 (HAM10000). Only the training part is read, because only its labels are used by CD-FSL."""

from functools import partial
from pathlib import Path

from trainer.core.data.errors import DataProblem
from trainer.core.data.sources.label_files import csv_rows
from trainer.core.data.sources.layouts import Layout, read_first
from trainer.core.data.sources.listing import Listing
from trainer.core.data.sources.lists import keep_listed
from trainer.core.data.sources.rows import Rows

_IMAGES, _TABLE = "ISIC2018_Task3_Training_Input", "ISIC2018_Task3_Training_GroundTruth"


def read(root: Path, subset: Path | None = None) -> Listing:
    return keep_listed(read_first("isic2018", root, _LAYOUTS), subset, by_class=False)


def _read(base: Path, table: str) -> Listing:
    path = base / table
    header, entries = csv_rows(path)
    if header[0] != "image" or len(set(header)) != len(header) or len(header) < 3:
        raise DataProblem(
            "E_LABEL", f"line 1 of {path}: the header must be image and the names of the classes, not {header}"
        )
    classes = tuple(header[1:])
    rows = Rows(base, "all")
    for line, (image, *cells) in entries:
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            raise line.problem("every column after the first must be a number") from None
        if len(values) != len(classes) or sorted(values) != [0.0] * (len(classes) - 1) + [1.0]:
            raise line.problem(f"one of {len(classes)} columns must be 1 and the others 0")
        rows.add("all", f"{_IMAGES}/{image}.jpg", values.index(1.0), line)
    return Listing(
        "",
        base,
        classes,
        classes,
        rows.splits(),
        (path,),
    )


_LAYOUTS = (
    Layout(
        "both archives as unpacked", (_IMAGES, f"{_TABLE}/{_TABLE}.csv"), partial(_read, table=f"{_TABLE}/{_TABLE}.csv")
    ),
    Layout("the table beside the images' folder", (_IMAGES, f"{_TABLE}.csv"), partial(_read, table=f"{_TABLE}.csv")),
)
