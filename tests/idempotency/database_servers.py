"""Real PostgreSQL and MariaDB servers of our own, each on a free port of loopback."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import psycopg
import pymysql
import pytest
from database_programs import find_program


def skip_or_fail(reason):
    """Skip, but on a machine that must have the server, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class DatabaseServer:
    """A server with a folder of its own, under an ordinary user if the tests run as root: PostgreSQL refuses root."""

    user_names = ()
    programs = ()
    package = ""
    environment: ClassVar = {}

    def __init__(self):
        missing = [program for program in self.programs if find_program(program) is None]
        if missing:
            skip_or_fail(f"{', '.join(missing)} not found (Debian's package {self.package} has it)")
        # Not pytest's folder: it is open to its owner only.
        self.folder = Path(tempfile.mkdtemp(prefix="mg-database-"))
        self.user = None
        if os.getuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            self.user = next(name for name in (*self.user_names, "nobody") if name in known)
            shutil.chown(self.folder, self.user)
        self.port = free_port()
        self.prepare()
        self.start()

    def run(self, *command):
        subprocess.run(command, user=self.user, check=True, capture_output=True, cwd=self.folder)

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self._process = self.launch(log)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connect().close()
            except (psycopg.OperationalError, pymysql.err.OperationalError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    print((self.folder / "log").read_text())  # noqa: T201 - into the report of the failure
                    self.stop()
                    raise
                time.sleep(0.05)
            else:
                return

    def launch(self, log):
        group = None if self.user is None else pwd.getpwnam(self.user).pw_gid
        return subprocess.Popen(
            self.command(),
            user=self.user,
            group=group,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            env=os.environ | self.environment,
        )

    def stop(self):
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder)

    def execute(self, statement):
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)


class PostgreSQLServer(DatabaseServer):
    name = "postgresql"
    user_names = ("postgres",)
    programs = ("initdb", "postgres")
    package = "postgresql"
    stop_signal = 2  # SIGINT: "fast shutdown"

    def prepare(self):
        self.run(find_program("initdb"), "-D", f"{self.folder}/data", "-A", "trust", "-U", "tester", "-E", "UTF8", "-N")
        self.url = f"postgresql+psycopg://tester@127.0.0.1:{self.port}/postgres"
        self.asynchronous_url = f"postgresql+asyncpg://tester@127.0.0.1:{self.port}/postgres"

    def command(self):
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "max_connections": 200,
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [find_program("postgres"), "-D", f"{self.folder}/data", *settings]

    def connect(self):
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="tester", dbname="postgres", autocommit=True, connect_timeout=5
        )


class MariaDBServer(DatabaseServer):
    name = "mariadb"
    user_names = ("mysql",)
    programs = ("mariadb-install-db", "mariadbd")
    package = "mariadb-server"
    stop_signal = 15

    def prepare(self):
        self.run(
            find_program("mariadb-install-db"),
            *("--no-defaults", f"--datadir={self.folder}/data", "--skip-test-db"),
            "--auth-root-authentication-method=normal",
        )
        (self.folder / "begin.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS tests;\n"
            "CREATE USER IF NOT EXISTS tester@'127.0.0.1' IDENTIFIED BY 'made-up';\n"
            "GRANT ALL ON tests.* TO tester@'127.0.0.1';\n"
        )
        self.url = f"mysql+pymysql://tester:made-up@127.0.0.1:{self.port}/tests"
        self.asynchronous_url = f"mysql+aiomysql://tester:made-up@127.0.0.1:{self.port}/tests"

    def command(self):
        return [
            find_program("mariadbd"),
            *("--no-defaults", f"--datadir={self.folder}/data", f"--socket={self.folder}/socket"),
            *(f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=200"),
            *(f"--init-file={self.folder}/begin.sql", "--innodb-flush-log-at-trx-commit=0"),
        ]

    def connect(self):
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="tester",
            password="made-up",
            database="tests",
            autocommit=True,
            connect_timeout=5,
        )
