"""What the command lines of the trainer and the evaluators share: mistakes are one sentence each that names the flag,
and a reader that goes away or Ctrl-C ends the program without a traceback."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch

from trainer.core import json_text

EXPECTED = (OSError, ValueError, ImportError)
"""The errors that a person can mend; their text is a sentence."""
INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""


class Parser(argparse.ArgumentParser):
    """A parser that refuses wrong arguments with one sentence and code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def guarded(work: Callable[[], int], prefix: str = "") -> int:
    """Returns what `work` returns, or 2 after printing the sentence of an expected error to stderr."""
    try:
        return work()
    except BrokenPipeError:  # such as `| head`: whoever read the output has enough
        # Python flushes stdout once more when it ends, which must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EXPECTED as error:
        print(prefix + sentence(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prefix}interrupted", file=sys.stderr)
        return INTERRUPTED


def sentence(error: BaseException) -> str:
    """Returns the text of an error in one line, and the file's name and the reason for an error of the system."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def read_bytes(path: Path, flag: str) -> bytes:
    """Returns the content of the file that `flag` names. Raises ValueError with the flag and the path."""
    try:
        if path.is_dir():
            raise ValueError(f"{flag} {path} is a folder: name a file")
        if not path.exists():
            raise ValueError(f"{flag} {path} cannot be read: there is no such file")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{flag} {path} cannot be read: {error.strerror}") from error


def read_json(path: Path, flag: str) -> Any:
    """Returns the JSON value in the file that `flag` names. Raises ValueError with the flag and the path."""
    raw = read_bytes(path, flag)
    try:
        return json_text.parsed(raw)
    except ValueError as error:
        raise ValueError(f"{flag} {path} {error}") from error


def folder_to_fill(path: Path, flag: str) -> Path:
    """Returns the folder that `flag` names, which is made if need be. Raises ValueError if that cannot be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{flag} {path} cannot be a folder: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise ValueError(f"{flag} {path} cannot be written: name another folder")
    return path


def device(text: str) -> torch.device:
    """Returns the device that --device names. Raises ValueError if this machine has none such."""
    try:
        return torch.empty(0, device=text).device
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise ValueError(f"--device {text} is not a device of this machine: {why}") from error


def count(text: str) -> int:
    """Returns a whole number of at least 1, for argparse."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def seconds(text: str) -> float:
    """Returns a number of at least 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds of at least 0")
    return value
