"""What is known of each data set before a file of it is opened: sizes, archives, licence, usual training transform."""

from collections.abc import Mapping
from dataclasses import dataclass

_PACKED = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Archive:
    """A file that the authors distribute. A size or digest that they do not publish is None."""

    name: str
    url: str
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None

    @property
    def packed(self) -> bool:
        """Whether it is to be unpacked; a label file that is fetched on its own is not."""
        return self.name.endswith(_PACKED)


@dataclass(frozen=True)
class Facts:
    """Counts are of the complete data as the paper uses it (its Table 3, section 4.1 for Tiny-ImageNet)."""

    name: str
    classes: int | None
    """None where every tree has its own."""
    splits: Mapping[str, int]
    """Images of each split; empty where every tree has its own."""
    archives: tuple[Archive, ...]
    licence: str
    login: bool
    """Whether the archives can only be fetched by somebody who is signed in."""
    paper_use: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    native_px: tuple[int, int] | None
    """Width and height; None where they differ from image to image."""
    pad: int
    """Training pads each side by this many px of the native size and crops at random."""
    flip: bool
    """Training mirrors half of the images."""
    cdfsl: bool = False
    """One of the four few-shot targets of CD-FSL, which alone take a subset list."""
    class_counts: Mapping[str, int] | None = None
    """Images of each class over all splits, by class id, where known."""


_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FLOWERS = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
_DOGS = "http://vision.stanford.edu/aditya86/ImageNetDogs/"
_ISIC = "https://isic-challenge-data.s3.amazonaws.com/2018/"
_NIH = "https://nihcc.app.box.com/v/ChestXray-NIHCC"

_ALL = (
    Facts(
        name="tiny-imagenet",
        classes=200,
        splits={"train": 100_000, "test": 10_000},  # the official val: the official test has no labels
        archives=(
            Archive(
                "tiny-imagenet-200.zip",
                "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                bytes=248_100_043,
                md5="90528d7ca1a48142e341f4ef8d21d0de",
            ),
        ),
        licence="ImageNet terms: non-commercial research",
        login=False,
        paper_use="source training and test",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=(64, 64),
        pad=4,
        flip=True,
    ),
    Facts(
        name="cifar10",
        classes=10,
        splits={"train": 50_000, "test": 10_000},
        archives=(
            Archive(
                "cifar-10-python.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                md5="c58f30108f718f92721af3b95e74349a",
            ),
        ),
        licence="no formal licence: free for research, cite",
        login=False,
        paper_use="not used",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        native_px=(32, 32),
        pad=4,
        flip=True,
    ),
    Facts(
        name="cifar100",
        classes=100,
        splits={"train": 50_000, "test": 10_000},
        archives=(
            Archive(
                "cifar-100-python.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                md5="eb9058c3a382ffc7106e4002c42a8d85",
            ),
        ),
        licence="no formal licence: free for research, cite",
        login=False,
        paper_use="self-distillation comparison",
        mean=(0.5071, 0.4867, 0.4408),  # SEAL's; LLF normalises both CIFARs by CIFAR-10's
        std=(0.2675, 0.2565, 0.2761),
        native_px=(32, 32),
        pad=4,
        flip=True,
    ),
    Facts(
        name="flowers102",
        classes=102,
        splits={"train": 1_020, "val": 1_020, "test": 6_149},
        archives=(
            Archive(
                "102flowers.tgz",
                f"{_FLOWERS}102flowers.tgz",
                bytes=344_862_509,
                md5="52808999861908f626f3c1f4e79d11fa",
                sha256="2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
            ),
            Archive("imagelabels.mat", f"{_FLOWERS}imagelabels.mat", bytes=502, md5="e0620be6f572b9609742df49c70aed4d"),
            Archive("setid.mat", f"{_FLOWERS}setid.mat", bytes=14_989, md5="a5357ecc9cb78c4bef273ce3793fc85c"),
        ),
        licence="no explicit licence",
        login=False,
        paper_use="linear probe",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=None,
        pad=0,
        flip=True,
    ),
    Facts(
        name="cub200",
        classes=200,
        splits={"train": 5_994, "test": 5_794},
        archives=(
            Archive(
                "CUB_200_2011.tgz",
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                bytes=1_150_585_339,
                md5="97eceeb196236b17998738112f37df78",
                sha256="0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
            ),
        ),
        licence="non-commercial research and educational use",
        login=False,
        paper_use="linear probe",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=None,
        pad=0,
        flip=True,
    ),
    Facts(
        name="aircraft",
        classes=100,
        splits={"train": 3_334, "val": 3_333, "test": 3_333},  # the paper trains on train, not on the usual trainval
        archives=(
            Archive(
                "fgvc-aircraft-2013b.tar.gz",
                "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
                bytes=2_770_575_360,
                sha256="d5f68b1b81d6d7831eb9d5c5517074176b5dfbce6bcb43dc14ed1c66a87b8d75",
            ),
        ),
        licence="research only; the credit of each image is in its banner",
        login=False,
        paper_use="linear probe",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=None,
        pad=0,
        flip=True,
    ),
    Facts(
        name="mit67",
        classes=67,
        splits={"train": 5_360, "test": 1_340},
        archives=(
            Archive("indoorCVPR_09.tar", "http://groups.csail.mit.edu/vision/LabelMe/NewImages/indoorCVPR_09.tar"),
            Archive("TrainImages.txt", "http://web.mit.edu/torralba/www/TrainImages.txt"),
            Archive("TestImages.txt", "http://web.mit.edu/torralba/www/TestImages.txt"),
        ),
        licence="for research purposes only",
        login=False,
        paper_use="linear probe",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=None,
        pad=0,
        flip=True,
    ),
    Facts(
        name="dogs",
        classes=120,
        splits={"train": 12_000, "test": 8_580},
        archives=(
            Archive(
                "images.tar",
                f"{_DOGS}images.tar",
                bytes=793_579_520,
                sha256="a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
            ),
            Archive(
                "lists.tar",
                f"{_DOGS}lists.tar",
                bytes=481_280,
                sha256="34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c",
            ),
        ),
        licence="ImageNet terms: non-commercial research",
        login=False,
        paper_use="linear probe",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=None,
        pad=0,
        flip=True,
    ),
    Facts(
        name="chestx",
        classes=7,
        splits={"all": 25_848},
        archives=(
            *(Archive(f"images_{part:03}.tar.gz", _NIH) for part in range(1, 13)),
            Archive("Data_Entry_2017.csv", _NIH),
        ),
        licence="CC0 on Kaggle; attribution asked for by the NIH",
        login=False,
        paper_use="few-shot",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=(1024, 1024),
        pad=0,
        flip=True,
        cdfsl=True,
        class_counts={
            "Atelectasis": 4_215,
            "Cardiomegaly": 1_093,
            "Effusion": 3_955,
            "Infiltration": 9_547,
            "Mass": 2_139,
            "Nodule": 2_705,
            "Pneumothorax": 2_194,
        },
    ),
    Facts(
        name="isic2018",
        classes=7,
        splits={"all": 10_015},
        archives=(
            Archive("ISIC2018_Task3_Training_Input.zip", f"{_ISIC}ISIC2018_Task3_Training_Input.zip"),
            Archive("ISIC2018_Task3_Training_GroundTruth.zip", f"{_ISIC}ISIC2018_Task3_Training_GroundTruth.zip"),
        ),
        licence="CC BY-NC 4.0",
        login=False,  # the challenge's page asks for one, these links do not
        paper_use="few-shot",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=(600, 450),
        pad=0,
        flip=True,
        cdfsl=True,
        class_counts={"MEL": 1_113, "NV": 6_705, "BCC": 514, "AKIEC": 327, "BKL": 1_099, "DF": 115, "VASC": 142},
    ),
    Facts(
        name="eurosat",
        classes=10,
        splits={"all": 27_000},
        archives=(
            Archive(
                "EuroSAT.zip",
                "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                bytes=94_280_567,
                md5="c8fa014336c82ac7804f0398fcb19387",
                sha256="8ebea626349354c5328b142b96d0430e647051f26efc2dc974c843f25ecf70bd",
            ),
        ),
        licence="MIT",
        login=False,
        paper_use="few-shot",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=(64, 64),
        pad=0,
        flip=True,
        cdfsl=True,
        class_counts={
            "AnnualCrop": 3_000,
            "Forest": 3_000,
            "HerbaceousVegetation": 3_000,
            "Highway": 2_500,
            "Industrial": 2_500,
            "Pasture": 2_000,
            "PermanentCrop": 2_500,
            "Residential": 3_000,
            "River": 2_500,
            "SeaLake": 3_000,
        },
    ),
    Facts(
        name="cropdisease",
        classes=38,
        splits={"all": 43_456},  # the references use the train folder alone
        archives=(Archive("plant-disease.zip", "https://www.kaggle.com/datasets/saroz014/plant-disease"),),
        licence="CC BY-SA or CC0, by mirror",
        login=True,
        paper_use="few-shot, its train folder only",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=(256, 256),
        pad=0,
        flip=True,
        cdfsl=True,
    ),
    Facts(
        name="folder",
        classes=None,
        splits={},
        archives=(),
        licence="unknown: the user's own images",
        login=False,
        paper_use="not used",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        native_px=None,
        pad=0,
        flip=False,
    ),
)

FACTS: dict[str, Facts] = {each.name: each for each in _ALL}
