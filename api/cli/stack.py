"""Runs Ray with its dashboard, MLflow with its UI, and the API on this machine, each as a child process on loopback.

Every part uses its usual port, or a free one if that is taken; `services.json` in the home folder has the addresses.
"""

import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx
import psutil

START_S = 120.0
"""Seconds that a part may take until it answers."""
STOP_S = 5.0
"""Seconds that a part may take to exit. Ray's daemons do not exit by themselves; nothing they hold is needed."""


class Stack:
    """Ray, MLflow and the API as child processes, with all their data in the folder `home`."""

    def __init__(self, home: Path, cpus: int | None = None) -> None:
        self.home, self._cpus = home, cpus
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []
        self._ray_folder: str | None = None
        self.links: dict[str, str] = {}

    @property
    def token_path(self) -> Path:
        """The file with the token that the Ray dashboard asks for."""
        return self.home / "ray_token"

    def start(self) -> None:
        """Starts the parts and returns when the API answers; Ray and MLflow may need a few seconds more.

        Raises RuntimeError, with the end of its log, if a part exits or does not answer.
        """
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        if not self.token_path.exists():
            descriptor = os.open(self.token_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
        ports = _ports({"api": 8000, "mlflow": 5000, "ray": 8265, "gcs": 6390, "ray_client": 10_001, "agent": 52_365})
        self.links = {name: f"http://127.0.0.1:{ports[name]}" for name in ("api", "mlflow", "ray")}
        self._ray_folder = tempfile.mkdtemp(prefix="relearn-", dir="/tmp")  # the paths of sockets must be short
        environment = os.environ | {
            "RELEARN_HOME": str(self.home),
            "RELEARN_TRACKING_URI": self.links["mlflow"],
            "RELEARN_RAY_ADDRESS": self.links["ray"],
            # Ray notes the current cluster in this folder: one of our own, so that no other cluster is found
            "RAY_TMPDIR": self._ray_folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_path),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
            "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",  # lets the dashboard name the Train runs
            "RAY_worker_niceness": "0",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PYTHONUNBUFFERED": "1",
        }
        self._spawn("ray", _ray_command(ports, self._cpus), environment)
        self._spawn("api", [sys.executable, "-m", "api", "--port", str(ports["api"])], environment)
        self._wait("api", lambda: httpx.get(f"{self.links['api']}/healthz", timeout=5).is_success)
        # MLflow is not needed before a generation is finished, so it starts last and does not slow down the others
        self._spawn("mlflow", _mlflow_command(ports["mlflow"], self.home), environment)
        (self.home / "services.json").write_text(json.dumps(self.links | {"pid": os.getpid()}, indent=1))

    def check(self) -> None:
        """Raises RuntimeError, with the end of its log, if a part has exited."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise RuntimeError(f"{name} exited with code {child.returncode}:\n{self._tail(name)}")

    def wait_for_mlflow(self) -> None:
        """Returns when the MLflow UI answers."""
        self._wait("mlflow", lambda: httpx.get(f"{self.links['mlflow']}/health", timeout=5).is_success)

    def stop(self) -> None:
        """Stops the parts and all their child processes, and returns when they are gone.

        Ray's workers exit after their raylet, but some hang in their exit and would run forever: these are killed.
        """
        (self.home / "services.json").unlink(missing_ok=True)
        below = [each for child in self._children.values() for each in _below(child.pid)]
        for child in self._children.values():
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for child in self._children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal_group(child, signal.SIGKILL)
                child.wait()
        _, hanging = psutil.wait_procs(below, timeout=STOP_S)
        for each in hanging:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(hanging)
        for log in self._logs:
            log.close()
        if self._ray_folder is not None:
            shutil.rmtree(self._ray_folder, ignore_errors=True)

    def pids(self) -> dict[str, int]:
        """Returns the process id of every part, by name."""
        return {name: child.pid for name, child in self._children.items()}

    def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        log = (self.home / "logs" / f"{name}.log").open("ab")
        self._logs.append(log)
        self._children[name] = subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            self.check()
            try:
                if ready():
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"{name} did not answer within {START_S:.0f} s:\n{self._tail(name)}")

    def _tail(self, name: str) -> str:
        lines = (self.home / "logs" / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])


def running(home: Path) -> dict[str, str] | None:
    """Returns the addresses of the stack that runs from `home`, or None if none does."""
    try:
        links: dict[str, str] = json.loads((home / "services.json").read_text())
        return links if httpx.get(f"{links['api']}/healthz", timeout=5).is_success else None
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return None


@contextlib.contextmanager
def serving(home: Path, report: Callable[[str], None]) -> Iterator[tuple[dict[str, str], Stack | None]]:
    """Yields the addresses of the stack that runs from `home`, and None.

    If none runs, one is started, yielded in place of None, and stopped afterwards.
    """
    if (links := running(home)) is not None:
        yield links, None
        return
    report("starting Ray, MLflow and the API ...")
    stack = Stack(home)
    try:
        stack.start()
        yield stack.links, stack
    finally:
        stack.stop()


def _ray_command(ports: dict[str, int], cpus: int | None) -> list[str]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={ports['ray']}", f"--port={ports['gcs']}"]
    command.append(f"--ray-client-server-port={ports['ray_client']}")
    command.append(
        f"--dashboard-agent-listen-port={ports['agent']}"
    )  # two clusters on one machine cannot share this port
    command.append(f"--object-store-memory={512 * 1024**2}")
    if sys.platform == "linux":
        command.append("--node-ip-address=127.0.0.2")  # Ray replaces 127.0.0.1 by a public address, but not this one
    return command + ([f"--num-cpus={cpus}"] if cpus else [])


def _mlflow_command(port: int, home: Path) -> list[str]:
    return [
        *("nice", "-n", "10"),  # its start takes ten CPU seconds, which training on these cores must not wait for
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--artifacts-destination", str(home / "artifacts")),
    ]


def _ports(preferred: dict[str, int]) -> dict[str, int]:
    """Returns a different free port on loopback for every name.

    It is the preferred port, or if that is taken, a free one above the ports of Ray's workers.
    """
    found: dict[str, int] = {}
    for name, wanted in preferred.items():
        candidates = itertools.chain([wanted], range(20_000, 30_000))
        found[name] = next(port for port in candidates if port not in found.values() and _free(port))
    return found


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    with socket.socket() as probe:  # a server that listens on all addresses leaves loopback bindable
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _below(pid: int) -> list[psutil.Process]:
    """Returns the descendants of the process `pid`."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)
