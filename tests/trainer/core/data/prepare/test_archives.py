"""Archives that are wrong, torn or hostile; and unpacking that is whole or not there."""

import gzip
import hashlib
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.core.data.builders import facts
from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import Archive
from trainer.core.data.prepare import archives
from trainer.core.data.prepare.archives import Limits, check, unpack, unpack_all
from trainer.core.disk import Disk

FILES = {"a/one.txt": b"one" * 100, "b c/two'.txt": b"two"}
PAGE = b"<!DOCTYPE html><title>Sign in</title>" * 20


def zipped(path: Path, files: dict[str, bytes], attributes: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = attributes << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return path


def tarred(path: Path, files: dict[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "") -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, link
            archive.addfile(member, io.BytesIO(content))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def published(path: Path) -> Archive:
    payload = path.read_bytes()
    digests = hashlib.md5(payload).hexdigest(), hashlib.sha256(payload).hexdigest()
    return Archive(path.name, "https://example.org/it", len(payload), *digests)


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize("name", ["it.tar.gz", "it.tar", "it.zip"])
def test_members_come_out_as_they_went_in_whatever_the_file_is_called(
    make: Callable[..., Path], name: str, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    unpack(make(tmp_path / name, FILES), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_a_published_archive_is_known_good_and_an_unpublished_one_is_recorded(tmp_path: Path) -> None:
    path = zipped(tmp_path / "it.zip", FILES)
    good = check(path, published(path))
    assert (good.known_good, good.sha256) == (True, hashlib.sha256(path.read_bytes()).hexdigest())
    unknown = check(path, Archive("it.zip", "https://example.org/it"))
    assert (unknown.known_good, unknown.md5, unknown.bytes) == (None, good.md5, good.bytes)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda whole: whole[:-7],
            r"expected 282 bytes, found 275, so it is truncated or still being fetched; it starts with b'PK",
        ),
        (
            lambda whole: bytes([whole[0] ^ 1]) + whole[1:],
            "expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}; it starts with",
        ),
        (
            lambda whole: PAGE,
            r"a web page, not the archive \(is a login needed\?\); fetch it again from https://example.org/it",
        ),
    ],
)
def test_another_file_than_the_published_one_is_refused(
    spoil: Callable[[bytes], bytes], says: str, tmp_path: Path
) -> None:
    path = zipped(tmp_path / "it.zip", FILES)
    known = published(path)
    path.write_bytes(spoil(path.read_bytes()))
    says = says.replace("282", f"{known.bytes}").replace("275", f"{(known.bytes or 0) - 7}")
    with pytest.raises(DataProblem, match=f"E_ARCHIVE: .*{says}"):
        check(path, known)


def test_an_md5_alone_is_compared_too(tmp_path: Path) -> None:
    path = zipped(tmp_path / "it.zip", FILES)
    with pytest.raises(DataProblem, match=r"E_ARCHIVE: .*expected md5 0123, found [0-9a-f]{32}"):
        check(path, Archive("it.zip", "https://example.org/it", md5="0123"))


HOSTILE: list[tuple[str, Callable[[Path], Path], str]] = [
    ("zip up", lambda to: zipped(to, {"a/../../x": b""}), "'a/../../x' would leave the folder"),
    ("zip absolute", lambda to: zipped(to, {"/tmp/x": b""}), "'/tmp/x' would leave"),
    ("zip backslash", lambda to: zipped(to, {"..\\x": b""}), "would leave"),
    ("zip link", lambda to: zipped(to, {"x": b"/etc/passwd"}, stat.S_IFLNK), "'x' is a link"),
    ("zip bomb", lambda to: zipped(to, {"x": bytes(300_000)}), "more than 200,000 bytes or 10 files, as a bomb does"),
    ("zip of many", lambda to: zipped(to, {f"{i}": b"" for i in range(11)}), "or 10 files"),
    ("zip folder and file", lambda to: zipped(to, {"a": b"", "a/b": b""}), "cannot be unpacked"),
    ("tar up", lambda to: tarred(to, {"../x": b""}), "would leave"),
    ("tar absolute", lambda to: tarred(to, {"/tmp/x": b""}), "would leave"),
    ("tar symbolic link", lambda to: tarred(to, {"x": b""}, tarfile.SYMTYPE, "/etc/passwd"), "'x' is a link"),
    ("tar hard link", lambda to: tarred(to, {"x": b""}, tarfile.LNKTYPE, "../x"), "'x' is a link"),
    ("tar device", lambda to: tarred(to, {"x": b""}, tarfile.CHRTYPE), "a device"),
    ("tar bomb", lambda to: tarred(to.with_suffix(".tar.gz"), {"x": bytes(300_000)}), "more than 200,000 bytes"),
]


@pytest.mark.parametrize(("make", "says"), [each[1:] for each in HOSTILE], ids=[each[0] for each in HOSTILE])
def test_a_hostile_archive_is_refused_and_nothing_leaves_the_folder(
    make: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    path = make(source / "it.zip")
    limits = Limits(bytes=200_000, files=10)
    with pytest.raises(DataProblem, match=says) as caught:
        unpack_all(source, facts({}, (Archive(path.name, "https://example.org/it"),)), limits)
    assert caught.value.code == "E_ARCHIVE"
    assert {each.name for each in tmp_path.rglob("*") if each.is_file()} <= {path.name, ".unpacked.lock"}


def test_a_high_ratio_is_refused_above_the_bytes_that_are_free(tmp_path: Path) -> None:
    path = zipped(tmp_path / "it.zip", {"x": bytes(300_000)})
    unpack(path, tmp_path, Limits(free_bytes=300_000))
    with pytest.raises(DataProblem, match="as a bomb does"):
        unpack(path, tmp_path, Limits(free_bytes=299_999))


@pytest.mark.parametrize(
    ("make", "name", "kept"),
    [
        *((tarred, "it.tar", kept) for kept in (40, 512, 1024, 2048)),
        (tarred, "it.tar.gz", 3000),
        (zipped, "it.zip", 3000),
    ],
)
def test_a_cut_archive_is_refused(make: Callable[..., Path], name: str, kept: int, tmp_path: Path) -> None:
    path = make(tmp_path / name, {"x": b"1" * 100, "y": os.urandom(5000)})
    os.truncate(path, kept)
    with pytest.raises(DataProblem, match="E_ARCHIVE"):
        unpack(path, tmp_path)


def test_a_web_page_is_neither_an_archive_nor_a_label_file(tmp_path: Path) -> None:
    for name in ("it.zip", "labels.txt"):
        (tmp_path / name).write_bytes(PAGE)
        with pytest.raises(DataProblem, match=r"E_ARCHIVE: .*a web page"):
            unpack(tmp_path / name, tmp_path)
    (tmp_path / "it.tgz").write_bytes(gzip.compress(PAGE))
    with pytest.raises(DataProblem, match="neither a zip nor a tar"):
        unpack(tmp_path / "it.tgz", tmp_path)


def test_all_archives_and_label_files_come_into_one_tree_once(tmp_path: Path) -> None:
    zipped(tmp_path / "it.zip", FILES)
    tarred(tmp_path / "more.tar", {"a/three.txt": b"3"})
    (tmp_path / "labels.txt").write_bytes(b"labels")
    (tmp_path / "other.txt").write_bytes(b"nobody asked")
    known = facts({}, tuple(Archive(name, "") for name in ("it.zip", "more.tar", "labels.txt", "absent.zip")))
    root, found = unpack_all(tmp_path, known)
    assert contents(root).keys() - {archives.STAMP} == {*FILES, "a/three.txt", "labels.txt"}
    assert [each.name for each in found] == ["it.zip", "more.tar", "labels.txt"]
    (root / "a/one.txt").write_bytes(b"changed")
    for name in ("it.zip", "more.tar"):
        (tmp_path / name).unlink()  # to save room
    assert unpack_all(tmp_path, known) == (root, found)
    assert (root / "a/one.txt").read_bytes() == b"changed"
    zipped(tmp_path / "it.zip", {"a/one.txt": b"newer"})
    assert contents(unpack_all(tmp_path, known)[0])["a/one.txt"] == b"newer"


class Full(Disk):
    def write(self, path: Path, payload: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))


def test_a_full_disk_is_told_and_leaves_no_tree(tmp_path: Path) -> None:
    zipped(tmp_path / "it.zip", FILES)
    with pytest.raises(DataProblem, match=r"E_DISK: more bytes are needed and [\d,]+ are free in"):
        unpack_all(tmp_path, facts({}, (Archive("it.zip", ""),)), disk=Full())
    assert {each.name for each in tmp_path.iterdir()} <= {"it.zip", ".unpacked.lock"}


def test_what_a_killed_unpacking_left_is_neither_taken_nor_kept(tmp_path: Path) -> None:
    zipped(tmp_path / "it.zip", FILES)
    left = tmp_path / f"unpacked.partial-{2**22 + 1}"  # no process has such a number
    (left / "a").mkdir(parents=True)
    known = facts({}, (Archive("it.zip", ""),))
    assert not archives.recorded(tmp_path / archives.UNPACKED)
    root, _ = unpack_all(tmp_path, known)
    assert contents(root).keys() - {archives.STAMP} == FILES.keys()
    assert not left.exists()
