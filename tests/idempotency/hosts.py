"""Two hosts and a server between them: network namespaces, joined by virtual cables that a test can pull out."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest
from database_programs import find_program
from database_servers import PostgreSQLServer, skip_or_fail
from redis_servers import RedisServer, require_redis_server

# Of a range for documentation. Nobody but the namespaces sees them.
SERVER_ADDRESSES = {"one": "198.51.100.1", "two": "198.51.100.5"}
HOST_ADDRESSES = {"one": "198.51.100.2", "two": "198.51.100.6"}


def run_ip(*arguments):
    subprocess.run([find_program("ip"), *arguments], check=True, capture_output=True, text=True, timeout=20)


class Network:
    """The hosts `one` and `two`, each with a cable to the host `server`."""

    def __init__(self):
        if os.getuid() != 0:
            pytest.skip("only root can make network namespaces")
        if find_program("ip") is None:
            skip_or_fail("the program ip is not found (Debian's package iproute2 has it)")
        self._prefix = f"mg-{os.getpid()}-{token_hex(4)}"
        self._namespaces = []
        try:
            for host in ("server", "one", "two"):
                try:
                    run_ip("netns", "add", self.namespace(host))
                except subprocess.CalledProcessError as error:
                    pytest.skip(f"this machine allows no network namespaces: {error.stderr.strip()}")
                self._namespaces.append(self.namespace(host))
                run_ip("-n", self.namespace(host), "link", "set", "lo", "up")
            for host in SERVER_ADDRESSES:
                self._lay_cable(host)
        except BaseException:
            self.remove()
            raise

    def namespace(self, host):
        return f"{self._prefix}-{host}"

    def within(self, host):
        """Return the beginning of a command that runs on a host."""
        return [find_program("ip"), "netns", "exec", self.namespace(host)]

    def _lay_cable(self, host):
        server, there = self.namespace("server"), self.namespace(host)
        run_ip("-n", server, "link", "add", f"to-{host}", "type", "veth", "peer", "name", "cable", "netns", there)
        run_ip("-n", server, "address", "add", f"{SERVER_ADDRESSES[host]}/30", "dev", f"to-{host}")
        run_ip("-n", there, "address", "add", f"{HOST_ADDRESSES[host]}/30", "dev", "cable")
        run_ip("-n", there, "link", "set", "cable", "up")
        self.join(host)

    def join(self, host):
        run_ip("-n", self.namespace("server"), "link", "set", f"to-{host}", "up")

    def cut(self, host):
        """Pull out the cable: what is sent is lost, and nobody is told."""
        run_ip("-n", self.namespace("server"), "link", "set", f"to-{host}", "down")

    def remove(self):
        for namespace in self._namespaces:
            run_ip("netns", "delete", namespace)


class RedisOnHost(RedisServer):
    """A Redis server on the host `server`. The test reaches it by a socket in the file system."""

    kind = "redis"

    def __init__(self, network):
        require_redis_server()
        self._network = network
        self._own_folder = Path(tempfile.mkdtemp(prefix="mg-redis-"))  # pytest's paths are too long for a socket
        socket = str(self._own_folder / "socket")
        super().__init__(self._own_folder, "--bind", "0.0.0.0", "--protected-mode", "no", "--unixsocket", socket)  # noqa: S104

    @property
    def url(self):
        return f"unix://{self._own_folder}/socket"

    def command(self):
        return [*self._network.within("server"), *super().command()]

    def location(self, host):
        return f"redis://{SERVER_ADDRESSES[host]}:{self.port}/0"

    def remove(self):
        self.stop()
        shutil.rmtree(self._own_folder)


class PostgreSQLOnHost(PostgreSQLServer):
    """A PostgreSQL server on the host `server`. The test reaches it by a socket in the file system."""

    kind = "postgresql"

    def __init__(self, network):
        self._network = network
        super().__init__()

    def prepare(self):
        super().prepare()
        with (self.folder / "data" / "pg_hba.conf").open("a") as permissions:
            permissions.write("host all all 198.51.100.0/24 trust\n")

    def command(self):
        # Entering a namespace needs root, which the server refuses.
        ordinary = pwd.getpwnam(self.user)
        drop = ["setpriv", f"--reuid={ordinary.pw_uid}", f"--regid={ordinary.pw_gid}", "--clear-groups"]
        return [*self._network.within("server"), *drop, *super().command(), "-c", "listen_addresses=*"]

    def launch(self, log):
        return subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder)

    def connect(self):
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="tester", dbname="postgres", autocommit=True, connect_timeout=5
        )

    def location(self, host):
        # A host that is cut off is told nothing, so it must not wait for ever.
        patience = "connect_timeout=2&tcp_user_timeout=2000"
        return f"postgresql+psycopg://tester@{SERVER_ADDRESSES[host]}:{self.port}/postgres?{patience}"
