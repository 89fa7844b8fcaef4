"""The trees of the four few-shot targets of CD-FSL, each of which has a single split."""

from pathlib import Path

from tests.trainer.core.data.trees.tree import Tree, image, text

CHEST_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
)


def chestx(path: Path, layout: str = "flat") -> Tree:
    """Traps: rows with several findings, none, or another disease; RGBA; ages like 058Y; commas in header brackets.

    `layout` is `flat`, `kaggle` (images in images_001/images/ and so on), or `v2020` (the newer name of the table).
    """
    findings = (
        "Cardiomegaly",
        "Cardiomegaly|Emphysema",
        "No Finding",
        "Hernia",
        "Infiltration",
        "Pneumonia",
        "Atelectasis",
        "Pneumothorax",
        "Effusion|Mass",
        "Mass",
        "Nodule",
        "Effusion",
        "Infiltration",
    )
    names = [f"{number // 3 + 1:08}_{number % 3:03}.png" for number in range(len(findings))]
    rows = ""
    folder = {}
    for number, (name, finding) in enumerate(zip(names, findings, strict=True)):
        age = f"{50 + number:03}Y" if number % 2 else str(50 + number)
        rows += f"{name},{finding},{number % 3},{number // 3 + 1},{age},M,PA,2682,2749,0.143,0.143,\n"
        folder[name] = f"images_{number // 5 + 1:03}/images" if layout == "kaggle" else "images"
        image(path / folder[name] / name, "PNG", {4: "L", 6: "RGBA"}.get(number, "RGB"))
    text(path / ("Data_Entry_2017_v2020.csv" if layout == "v2020" else "Data_Entry_2017.csv"), CHEST_HEADER + rows)

    def item(number: int) -> str:
        return f"{folder[names[number]]}/{names[number]}"

    return Tree(
        root=path,
        own=path,
        classes=("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax"),
        counts={"all": 8},
        labels={
            ("all", item(0)): 1,
            ("all", item(4)): 3,
            ("all", item(6)): 0,
            ("all", item(7)): 6,
            ("all", item(10)): 5,
        },
        absent=tuple(names[number] for number in (1, 2, 3, 5, 8)),
        lossless=(item(0), item(7), item(12)),
        modes={item(4): "L", item(6): "RGBA"},
    )


def isic2018(path: Path, layout: str = "official") -> Tree:
    """Traps: labels as one-hot floats, ids without a suffix, LICENSE.txt among the images.

    `layout` is `official`, or `beside` for a table beside the image folder instead of in its own folder.
    """
    classes = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    labels = {
        "ISIC_0024310": 0,
        "ISIC_0024306": 1,
        "ISIC_0024307": 1,
        "ISIC_0024318": 5,
        "ISIC_0024370": 6,
        "ISIC_0024331": 2,
    }
    images, table = path / "ISIC2018_Task3_Training_Input", "ISIC2018_Task3_Training_GroundTruth"
    rows = ""
    for name, label in labels.items():
        image(images / f"{name}.jpg", "PNG" if name.endswith("0") else "JPEG")
        rows += ",".join([name, *("1.0" if number == label else "0.0" for number in range(7))]) + "\n"
    text(images / "LICENSE.txt", "CC-BY-NC\n")
    text(images / "ATTRIBUTION.txt", "HAM10000\n")
    text(path / ("" if layout == "beside" else table) / f"{table}.csv", ",".join(("image", *classes)) + "\n" + rows)
    return Tree(
        root=path,
        own=path,
        classes=classes,
        counts={"all": 6},
        labels={("all", f"{images.name}/{name}.jpg"): label for name, label in labels.items()},
        absent=("LICENSE.txt", "ATTRIBUTION.txt"),
        lossless=(f"{images.name}/ISIC_0024310.jpg", f"{images.name}/ISIC_0024370.jpg"),
    )


EUROSAT = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)


def eurosat(path: Path, layout: str = "2750") -> Tree:
    """Trap: the folder has another name in the newer archive and in torchvision's tree.

    `layout` is the name of the folder.
    """
    base = path / layout
    for name in EUROSAT:
        for number in (1, 2, 10):
            image(base / name / f"{name}_{number}.jpg", "PNG" if number == 2 else "JPEG")
    text(base / ".DS_Store", "")
    return Tree(
        root=path,
        own=base,
        classes=EUROSAT,
        counts={"all": 30},
        labels={("all", "AnnualCrop/AnnualCrop_1.jpg"): 0, ("all", "SeaLake/SeaLake_10.jpg"): 9},
        lossless=("River/River_2.jpg", "Forest/Forest_2.jpg"),
    )


def cropdisease(path: Path) -> Tree:
    """Traps: suffixes in any case; commas, spaces, parentheses and "copy 2" in names; an unused test folder."""
    files = {
        "Apple___healthy": ("a1___RS_HL 7646.JPG", "a2___RS_HL 5910.JPG"),
        "Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot": ("b1___RS_GLSp 4379.JPG", "b2.jpeg"),
        "Corn_(maize)___healthy": ("c1___R.S_HL 8008 copy 2.jpg", "c2.png"),
        "Pepper,_bell___healthy": ("d1___JR_HL 7713.JPG", "d2___JR_HL 8550.JPG"),
        "Tomato___Late_blight": ("e1___GHLB2 Leaf 87.1.JPG",),
    }
    base = path / "dataset" / "train"
    for name, inner in files.items():
        for file in inner:
            image(base / name / file, "PNG" if file[:2] in ("a1", "c2", "d1") else "JPEG")
        image(path / "dataset" / "test" / name / f"test_{name[:3]}.JPG")
    return Tree(
        root=path,
        own=path / "dataset",
        classes=tuple(files),
        counts={"all": 9},
        labels={
            ("all", "Pepper,_bell___healthy/d1___JR_HL 7713.JPG"): 3,
            ("all", "Corn_(maize)___healthy/c2.png"): 2,
            ("all", "Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot/b2.jpeg"): 1,
        },
        absent=("test_App.JPG",),
        lossless=("Apple___healthy/a1___RS_HL 7646.JPG", "Pepper,_bell___healthy/d1___JR_HL 7713.JPG"),
    )
