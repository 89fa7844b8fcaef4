"""Oxford Flowers-102 with the official splits of 1,020 train, 1,020 val and 6,149 test images."""

from pathlib import Path

from trainer.core.data.sources.class_tree import tree
from trainer.core.data.sources.label_files import Line, mat
from trainer.core.data.sources.layouts import Layout, read_first, refuse_subset
from trainer.core.data.sources.listing import Listing
from trainer.core.data.sources.lists import csv_splits
from trainer.core.data.sources.rows import Rows

# The label file has numbers only. The names come from the data set's web page.
NAMES = (
    *("pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea", "english marigold", "tiger lily"),
    *("moon orchid", "bird of paradise", "monkshood", "globe thistle", "snapdragon", "colt's foot", "king protea"),
    *("spear thistle", "yellow iris", "globe-flower", "purple coneflower", "peruvian lily", "balloon flower"),
    *("giant white arum lily", "fire lily", "pincushion flower", "fritillary", "red ginger", "grape hyacinth"),
    *("corn poppy", "prince of wales feathers", "stemless gentian", "artichoke", "sweet william", "carnation"),
    *("garden phlox", "love in the mist", "mexican aster", "alpine sea holly", "ruby-lipped cattleya", "cape flower"),
    *("great masterwort", "siam tulip", "lenten rose", "barbeton daisy", "daffodil", "sword lily", "poinsettia"),
    *("bolero deep blue", "wallflower", "marigold", "buttercup", "oxeye daisy", "common dandelion", "petunia"),
    *("wild pansy", "primula", "sunflower", "pelargonium", "bishop of llandaff", "gaura", "geranium", "orange dahlia"),
    *("pink-yellow dahlia?", "cautleya spicata", "japanese anemone", "black-eyed susan", "silverbush"),
    *("californian poppy", "osteospermum", "spring crocus", "bearded iris", "windflower", "tree poppy", "gazania"),
    *("azalea", "water lily", "rose", "thorn apple", "morning glory", "passion flower", "lotus", "toad lily"),
    *("anthurium", "frangipani", "clematis", "hibiscus", "columbine", "desert-rose", "tree mallow", "magnolia"),
    *("cyclamen", "watercress", "canna lily", "hippeastrum", "bee balm", "ball moss", "foxglove", "bougainvillea"),
    *("camellia", "mallow", "mexican petunia", "bromelia", "blanket flower", "trumpet creeper", "blackberry lily"),
)
_IDS = {"train": "trnid", "val": "valid", "test": "tstid"}


def read(root: Path, subset: Path | None = None) -> Listing:
    refuse_subset("flowers102", subset)
    return read_first("flowers102", root, _LAYOUTS)


def _official(base: Path) -> Listing:
    label_file, split_file = base / "imagelabels.mat", base / "setid.mat"
    (labels,) = mat(label_file, "labels")
    for number, label in enumerate(labels, 1):
        if not 1 <= label <= len(NAMES):
            raise Line(label_file, number, str(label), "image").problem(f"a class is a number from 1 to {len(NAMES)}")
    rows = Rows(base, *_IDS)
    for (split, key), images in zip(_IDS.items(), mat(split_file, *_IDS.values()), strict=True):
        for number, image in enumerate(images, 1):
            line = Line(split_file, number, str(image), f"{key} entry")
            if not 1 <= image <= len(labels):
                raise line.problem(f"an image is a number from 1 to {len(labels):,}, as many as imagelabels.mat has")
            rows.add(split, f"jpg/image_{int(image):05}.jpg", int(labels[int(image) - 1]) - 1, line)
    ids = tuple(str(number) for number in range(1, len(NAMES) + 1))
    return Listing(
        "",
        base,
        NAMES,
        ids,
        rows.splits(),
        (label_file, split_file),
    )


def _lists(base: Path) -> Listing:
    return csv_splits(base, "jpg", {"train": "lists/trn.csv", "val": "lists/val.csv", "test": "lists/tst.csv"})


def _folders(base: Path) -> Listing:
    return tree(base, {"train": "train", "val": "val", "test": "test"})


_LAYOUTS = (
    Layout(
        "102flowers.tgz as unpacked, with imagelabels.mat and setid.mat",
        ("jpg", "imagelabels.mat", "setid.mat"),
        _official,
        ("", "flowers-102"),
    ),
    Layout(
        "KE's lists (jpg/, lists/)",
        ("jpg", "lists/trn.csv", "lists/val.csv", "lists/tst.csv"),
        _lists,
        ("", "flower102"),
        renamed=True,
    ),
    Layout(
        "LLF's tree (train/CLASS/, val/CLASS/, test/CLASS/)",
        ("train/*/", "val/*/", "test/*/"),
        _folders,
        ("", "Flower102"),
        renamed=True,
    ),
)
