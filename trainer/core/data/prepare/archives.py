"""Finds the archives of a data set, compares them with the published digests, and unpacks them safely."""

import hashlib
import io
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from trainer.core.data import filesystem
from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import Archive, Facts
from trainer.core.data.manifest import FoundArchive
from trainer.core.disk import DISK, Disk

UNPACKED, STAMP = "unpacked", ".archives.json"

_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz")
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError),
    *(FileExistsError, NotADirectoryError, IsADirectoryError),  # one member is the folder of another
)
_STAMP: TypeAdapter[list[FoundArchive]] = TypeAdapter(list[FoundArchive])


@dataclass(frozen=True)
class Limits:
    """The limits of unpacking. No supported data set comes near them.

    `ratio` limits unpacked to packed bytes: images hardly compress, so a large ratio indicates a decompression bomb.
    """

    bytes: int = 500 * 10**9
    files: int = 2_000_000
    ratio: float = 100.0
    free_bytes: int = 100 * 10**6
    """The number of unpacked bytes up to which any ratio is allowed."""


LIMITS = Limits()


def find(source: Path, facts: Facts) -> list[Path]:
    """Returns the archives and loose files of the data set that lie in `source`."""
    return [source / each.name for each in facts.archives if (source / each.name).is_file()]


def recorded(unpacked: Path) -> list[FoundArchive]:
    """Returns the archives that `unpack_all` unpacked into `unpacked`; empty if it did not make that folder."""
    try:
        return _STAMP.validate_json((unpacked / STAMP).read_bytes())
    except (OSError, ValidationError):
        return []


def present(source: Path, facts: Facts) -> bool:
    """Returns whether `source` holds archives of the data set or what was unpacked from them."""
    return bool(find(source, facts) or recorded(source / UNPACKED))


def check(path: Path, published: Archive) -> FoundArchive:
    """Returns size and digests of `path`. Raises DataProblem E_ARCHIVE if one differs from the published value."""
    size = path.stat().st_size
    if published.bytes is not None and size != published.bytes:
        cut = ", so it is truncated or still being fetched" if size < published.bytes else ""
        raise _refused(path, f"expected {published.bytes:,} bytes, found {size:,}{cut}", published.url)
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            md5.update(block)
            sha256.update(block)
    pairs = (("sha256", published.sha256, sha256.hexdigest()), ("md5", published.md5, md5.hexdigest()))
    for kind, wanted, found in pairs:
        if wanted is not None and wanted != found:
            raise _refused(path, f"expected {kind} {wanted}, found {found}", published.url)
    known = True if published.sha256 or published.md5 else None
    return FoundArchive(
        published.name,
        size,
        md5.hexdigest(),
        sha256.hexdigest(),
        known,
    )


def unpack_all(
    source: Path, facts: Facts, limits: Limits = LIMITS, timeout_s: float = 3600, disk: Disk = DISK
) -> tuple[Path, list[FoundArchive]]:
    """Checks the archives in `source` and unpacks them into `<source>/unpacked`, which appears atomically.

    A folder that was unpacked before from archives of the same sizes is used again. Returns the folder and the
    archives. Raises DataProblem E_ARCHIVE, E_DISK, E_PERM, or E_LOCKED after `timeout_s` seconds.
    """
    target = source / UNPACKED
    paths = find(source, facts)
    before = recorded(target)
    if (
        before
        and {p.name: p.stat().st_size for p in paths}.items() <= {each.name: each.bytes for each in before}.items()
    ):
        return target, before
    published = {each.name: each for each in facts.archives}
    found = [check(path, published[path.name]) for path in paths]
    with filesystem.writing(source), filesystem.locked(source / f".{UNPACKED}.lock", str(target), timeout_s):
        if recorded(target) == found:
            return target, found  # another process has unpacked them meanwhile
        filesystem.remove_stale(target, disk)
        aside = filesystem.aside(target)
        aside.mkdir()
        try:
            for path in paths:
                unpack(path, aside, limits)
            disk.write(aside / STAMP, _STAMP.dump_json(found))
            filesystem.replace(aside, target, disk)
        finally:
            disk.remove(aside)
    return target, found


def unpack(path: Path, into: Path, limits: Limits = LIMITS) -> None:
    """Unpacks a zip or tar file into the folder `into`, or copies a file that is neither.

    Raises DataProblem E_ARCHIVE.
    """
    try:
        if zipfile.is_zipfile(path):
            _unzip(path, into, limits)
        elif tarfile.is_tarfile(path):
            _untar(path, into, limits)
        elif path.suffix.lower() in _ARCHIVE_SUFFIXES:
            raise _refused(path, "it is neither a zip nor a tar file")
        elif _web_page(_first(path)):
            raise _refused(path, "it is not the file it is named")
        else:
            shutil.copyfile(path, into / path.name)
    except _BROKEN as error:
        raise _refused(path, f"it cannot be unpacked, {type(error).__name__}: {error}") from error


def _unzip(path: Path, into: Path, limits: Limits) -> None:
    with zipfile.ZipFile(path) as archive:
        allow = _counted(path, limits)
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            plain = kind in (0, stat.S_IFREG, stat.S_IFDIR) and not member.flag_bits & 1
            allow(member.orig_filename, member.file_size, plain)
        for member in archive.infolist():
            archive.extract(member, into)  # it reads no more than the announced size, and compares the CRC


def _untar(path: Path, into: Path, limits: Limits) -> None:
    with tarfile.open(path) as archive:
        allow = _counted(path, limits)
        for member in archive:
            allow(member.name, member.size, member.isreg() or member.isdir())
            archive.extract(member, into, set_attrs=False, filter="data")
        # tarfile may not notice that an uncompressed archive is truncated
        if isinstance(archive.fileobj, io.BufferedReader):
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise _refused(path, "it ends without a tar file's end, so it is truncated")


def _counted(path: Path, limits: Limits) -> Callable[[str, int, bool], None]:
    """Returns a function that takes each member's name, size in bytes and whether it is a plain file or folder.

    The function raises DataProblem E_ARCHIVE for a member that must not be unpacked, and counts towards the limits.
    """
    most = min(limits.bytes, max(limits.free_bytes, int(path.stat().st_size * limits.ratio)))
    files = size = 0

    def allow(name: str, add: int, plain: bool) -> None:
        nonlocal files, size
        files, size = files + 1, size + add
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name or "\0" in name:
            raise _refused(path, f"its member {name!r} would leave the folder")
        if not plain or add < 0:
            raise _refused(path, f"its member {name!r} is a link, a device or encrypted, and no data set has those")
        if size > most or files > limits.files:
            raise _refused(
                path, f"it would unpack to more than {most:,} bytes or {limits.files:,} files, as a bomb does"
            )

    return allow


def _refused(path: Path, what: str, url: str | None = None) -> DataProblem:
    first = _first(path)
    starts = f"it starts with {first!r}" + (
        ": a web page, not the archive (is a login needed?)" if _web_page(first) else ""
    )
    again = f"; fetch it again from {url}" if url else "; fetch it again"
    return DataProblem("E_ARCHIVE", f"{path}: {what}; {starts}{again}")


def _first(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(32)


def _web_page(first: bytes) -> bool:
    return first.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml"))
