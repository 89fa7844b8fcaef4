"""The processes of this machine, to stop some of them and to check that none is left."""

import os
import subprocess

from api.cli.stack import Stack


def processes() -> list[str]:
    """Returns `pid ppid args` of every process."""
    return subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def below(top: int) -> list[int]:
    """Returns `top` and its descendants."""
    parents = {int(line.split()[0]): int(line.split()[1]) for line in processes()}

    def is_below(pid: int) -> bool:
        while pid in parents and pid != top:
            pid = parents[pid]
        return pid == top

    return [pid for pid in parents if is_below(pid)]


def left(started: set[int]) -> list[str]:
    """Returns the processes of `started` that still run; a process that init has not collected yet does not."""
    return [line for line in processes() if int(line.split()[0]) in started and "<defunct>" not in line]


def children_named(stack: Stack, name: str) -> list[int]:
    """Returns the descendants of the suite's own Ray whose title contains `name`."""
    titles = {int(line.split()[0]): line for line in processes()}
    return [pid for pid in below(stack.pids()["ray"]) if name in titles.get(pid, "") and pid != os.getpid()]
