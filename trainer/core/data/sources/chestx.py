"""ChestX of CD-FSL: the images of NIH ChestX-ray14 whose only finding is one of seven."""

from functools import partial
from pathlib import Path

from trainer.core.data.errors import DataProblem
from trainer.core.data.sources.class_tree import class_folders
from trainer.core.data.sources.label_files import Line, csv_rows
from trainer.core.data.sources.layouts import Layout, read_first
from trainer.core.data.sources.listing import Listing
from trainer.core.data.sources.lists import keep_listed
from trainer.core.data.sources.rows import Rows

CLASSES = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax")
_TABLES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")


def read(root: Path, subset: Path | None = None) -> Listing:
    return keep_listed(read_first("chestx", root, _LAYOUTS), subset, by_class=False)


def _read(base: Path, table: str, parts: bool) -> Listing:
    path = base / table
    header, entries = csv_rows(path)
    if header[:2] != ["Image Index", "Finding Labels"]:
        raise DataProblem(
            "E_LABEL", f"line 1 of {path}: the header must start with Image Index,Finding Labels, not {header[:2]}"
        )
    folder, elsewhere = (_folder_of(base), "images_*/images") if parts else ({}, "images")
    number = {name: label for label, name in enumerate(CLASSES)}
    seen: dict[str, Line] = {}
    rows = Rows(base, "all")
    for line, fields in entries:
        # Columns are read by position: the later ones differ between editions, and some of their names hold commas.
        if len(fields) < 2:
            raise line.problem("an image and its findings are needed")
        name, findings = fields[:2]
        if name in seen:
            raise line.problem(f"image {name} is there twice, first in {seen[name]}")
        seen[name] = line
        if findings in number:
            rows.add("all", f"{folder.get(name.casefold(), elsewhere)}/{name}", number[findings], line)
    return Listing(
        "",
        base,
        CLASSES,
        CLASSES,
        rows.splits(),
        (path,),
    )


def _folder_of(base: Path) -> dict[str, str]:
    """Maps the lower-case name of each file to its folder among Kaggle's images_001/images/, images_002/images/ etc."""
    folders = [f"{name}/images" for name in class_folders(base) if name.startswith("images_")]
    return {
        each.name.casefold(): folder
        for folder in folders
        if (base / folder).is_dir()
        for each in (base / folder).iterdir()
    }


_LAYOUTS = tuple(
    Layout(f"{words}, {table}", (table, images), partial(_read, table=table, parts=parts), renamed=parts)
    for words, images, parts in (
        ("the NIH's archives as unpacked (images/)", "images/*.*", False),
        ("Kaggle's archive as unpacked (images_001/images/ and so on)", "images_*/images/*.*", True),
    )
    for table in _TABLES
)
