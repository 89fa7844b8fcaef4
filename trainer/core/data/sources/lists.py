"""Reads lists of images that were published beside a data set: KE's splits and STARTUP's subsets, both CSV files."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from trainer.core.data.errors import DataProblem
from trainer.core.data.sources.label_files import SHOWN, Line, csv_rows, shortened
from trainer.core.data.sources.listing import ListedSplit, Listing
from trainer.core.data.sources.rows import Rows


def csv_splits(base: Path, images: str, lists: dict[str, str]) -> Listing:
    """Returns the listing of KE's lists, which are one CSV file per split with the columns `file_name` and `label`.

    `lists` maps the name of a split to its file below `base`, and `images` is the folder of the images. The classes are
    the sorted labels of the first list. Raises DataProblem E_LABEL or E_MISSING.
    """
    tables = {}
    for split, name in lists.items():
        header, table = csv_rows(base / name)
        if header[:2] != ["file_name", "label"]:
            raise DataProblem(
                "E_LABEL", f"line 1 of {base / name}: the header must be file_name,label, not {','.join(header)!r}"
            )
        tables[split] = table
    labels = {fields[1] for _, fields in next(iter(tables.values())) if len(fields) > 1}
    classes = (
        sorted(labels, key=int) if all(label.isascii() and label.isdigit() for label in labels) else sorted(labels)
    )
    number = {name: label for label, name in enumerate(classes)}
    rows = Rows(base, *lists)
    for split, table in tables.items():
        for line, fields in table:
            if len(fields) < 2:
                raise line.problem("a file name and a label are needed")
            if fields[1] not in number:
                raise line.problem(f"the label {fields[1]!r} is not in the training list")
            rows.add(split, f"{images}/{fields[0]}", number[fields[1]], line)
    files = tuple(base / name for name in lists.values())
    return Listing(
        "",
        base,
        tuple(classes),
        tuple(classes),
        rows.splits(),
        files,
    )


def keep_listed(listing: Listing, subset: Path | None, by_class: bool) -> Listing:
    """Returns `listing` with only the images of split `all` that the CSV file `subset` names, in the listing's order.

    STARTUP publishes such lists of 80 % of the images; the column is `img_path`. An entry is matched by its file name
    with or without suffix, and with `by_class` by its class folder too. Without `subset`, all images are kept. Raises
    DataProblem E_LABEL or E_MISSING.
    """
    if subset is None:
        return listing
    whole = listing.splits["all"]
    tails: dict[str, list[int]] = {}
    for row, item in enumerate(whole.items):
        path = PurePosixPath(item)
        for tail in {path.name, path.stem, "/".join(path.parts[-2:])}:
            tails.setdefault(tail, []).append(row)
    header, table = csv_rows(subset)
    if "img_path" not in header:
        raise DataProblem("E_LABEL", f"line 1 of {subset}: the header must hold img_path, not {','.join(header)!r}")
    column = header.index("img_path")
    kept: dict[int, Line] = {}
    unknown = []
    for line, fields in table:
        if len(fields) <= column:
            raise line.problem("there is no img_path")
        entry = "/".join(PurePosixPath(fields[column].strip()).parts[-(2 if by_class else 1) :])
        match tails.get(entry, []):
            case []:
                unknown.append(entry)
            case [row]:
                if row in kept:
                    raise line.problem(f"{whole.items[row]} is named twice, first in {kept[row]}")
                kept[row] = line
            case several:
                places = ", ".join(whole.items[row] for row in several[:SHOWN])
                raise line.problem(f"{entry} may be any of {places}")
    if unknown:
        by_fold = {tail.casefold(): tail for tail in tails}
        near = [f"{by_fold[each.casefold()]} for {each}" for each in unknown[:SHOWN] if each.casefold() in by_fold]
        case = f" Only the case differs: {', '.join(near)}." if near else ""
        raise DataProblem(
            "E_MISSING",
            f"{len(unknown):,} of {len(table):,} images that {subset} names are not among the {len(whole.items):,} of"
            f" {listing.root}: {shortened(unknown)}.{case} Is the list for another data set?",
        )
    if not kept:
        raise DataProblem("E_LABEL", f"{subset} names no image: leave the subset out or give a list that does")
    rows = sorted(kept)
    split = ListedSplit(tuple(whole.items[row] for row in rows), tuple(whole.labels[row] for row in rows))
    note = f"W_SUBSET: {len(rows):,} of {len(whole.items):,} images are kept, those that {subset.name} lists"
    return replace(
        listing, splits={"all": split}, label_files=(*listing.label_files, subset), notes=(*listing.notes, note)
    )
