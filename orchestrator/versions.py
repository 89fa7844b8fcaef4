"""The versions of installed packages."""

from importlib.metadata import PackageNotFoundError, version


def installed_version(package: str) -> str | None:
    """Returns the version of an installed package, or None.

    relearn itself has no version if it runs from its source folder without being installed.
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None
