"""Servers of their own for the pages that hand work to a queue: on loopback, in the folder of the page."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

PATIENCE = 60  # seconds


class PostgreSQL:
    """A server with one database, which can go down and come up again with its data."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"postgresql://receiver@127.0.0.1:{port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        installed = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)  # Debian's place
        self._path = os.pathsep.join([*installed, os.environ["PATH"]])
        if shutil.which("initdb", path=self._path) is None:
            raise FileNotFoundError("there is no PostgreSQL on this machine")
        self._folder = Path(tempfile.mkdtemp())  # not below the page's, which another user may not enter
        self._user = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            self._user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self._folder, "postgres", "postgres")
        self._run("initdb", "-D", self._folder / "data", "-U", "receiver", "-A", "trust", "-N", "-E", "UTF8").wait()

    def start(self) -> None:
        options = ("-h", "127.0.0.1", "-p", str(self.port), "-k", self._folder, "-c", "fsync=off")
        self._process = self._run("postgres", "-D", self._folder / "data", *options)
        until = time.monotonic() + PATIENCE
        while self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)).wait() != 0:
            assert time.monotonic() < until, "PostgreSQL does not start"
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(2)  # "fast shutdown": it ends the connections
            self._process.wait(PATIENCE)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program, *arguments) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [shutil.which(program, path=self._path), *arguments],
            cwd=self._folder,
            env={"PATH": self._path, "LC_ALL": "C.UTF-8"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._user,
        )
