"""Real Redis servers of our own, each on a free port of loopback: one alone, with Sentinel, and as a cluster."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import suppress

import redis
import redis.asyncio
from database_servers import free_port, skip_or_fail
from redis.backoff import NoBackoff
from redis.retry import Retry

# A client that gives up early: while it waits, so does the sender.
SHORT = {"socket_connect_timeout": 1, "socket_timeout": 1}


def short():
    return {**SHORT, "retry": Retry(NoBackoff(), 1)}


def wait_until(holds, what, seconds=15):
    """Wait until something holds; an error of the connection means that it does not hold yet."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(redis.RedisError):
            if holds():
                return
        assert time.monotonic() < deadline, f"not within {seconds} seconds: {what}"
        time.sleep(0.05)


class RedisServer:
    """A Redis server on a free port of loopback, which keeps nothing on disk unless it is stopped with `save`."""

    def __init__(self, folder, *options):
        self._folder = folder
        self._options = options
        self.port = free_port()
        self._client = self.client()  # to make one takes longer than what it does here
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self):
        return [
            "redis-server",
            *("--port", str(self.port)),
            *("--bind", "127.0.0.1"),
            *("--dir", str(self._folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            *self._options,
        ]

    def start(self):
        self._process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)
                else:
                    return

    def stop(self):
        self._client.close()
        self._process.terminate()
        self._process.wait(timeout=10)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def client(self, **options):
        return redis.Redis.from_url(self.url, **options)

    def empty(self):
        self._client.flushall()

    def let_pass(self, seconds):
        """Move the life of every key forward, as if so much time had passed."""
        for key in self._client.scan_iter():
            left = self._client.pttl(key)
            if left >= 0:
                self._client.pexpire(key, left - round(seconds * 1000))


def require_redis_server():
    if shutil.which("redis-server") is None:
        skip_or_fail("the program redis-server is not on PATH (Debian's package redis-server has it)")


def start_redis_server(folder):
    require_redis_server()
    return RedisServer(folder)


class Group:
    """Servers that belong together, each in a folder of its own."""

    def __init__(self, folder):
        require_redis_server()
        self._folder = folder
        self.servers = []
        try:
            self.begin()
        except BaseException:
            self.stop()
            raise

    def add(self, name, *options, kind=RedisServer):
        folder = self._folder / name
        folder.mkdir()
        self.servers.append(kind(folder, *options))
        return self.servers[-1]

    def stop(self):
        for server in reversed(self.servers):
            server.stop()


class SentinelServer(RedisServer):
    """A Sentinel: it writes what it finds into its own configuration."""

    def command(self):
        configuration = self._folder / "sentinel.conf"
        settings = (f"port {self.port}", "bind 127.0.0.1", f'dir "{self._folder}"', *self._options)
        configuration.write_text("".join(f"{setting}\n" for setting in settings), encoding="utf-8")
        return ["redis-server", str(configuration), "--sentinel"]


class SentinelGroup(Group):
    """A master, a replica, and a Sentinel that promotes the replica half a second after the master is gone."""

    name = "deliveries"

    def begin(self):
        self.master = self.add("master", "--repl-diskless-sync-delay", "0")
        self.replica = self.add("replica", "--replicaof", "127.0.0.1", str(self.master.port))
        with self.replica.client() as replica:
            wait_until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica is in step")
        self.sentinel = self.add(
            "sentinel",
            f"sentinel monitor {self.name} 127.0.0.1 {self.master.port} 1",
            f"sentinel down-after-milliseconds {self.name} 500",
            f"sentinel failover-timeout {self.name} 5000",
            kind=SentinelServer,
        )
        with self.sentinel.client() as sentinel:
            wait_until(
                lambda: [replica["master-link-status"] for replica in sentinel.sentinel_slaves(self.name)] == ["ok"],
                "the Sentinel knows the replica",
            )

    def addresses(self):
        return [("127.0.0.1", self.sentinel.port)]

    def client(self):
        return redis.Sentinel(self.addresses(), sentinel_kwargs=SHORT, **short()).master_for(self.name)

    def asynchronous_client(self):
        retry = redis.asyncio.retry.Retry(NoBackoff(), 1)
        sentinel = redis.asyncio.Sentinel(self.addresses(), sentinel_kwargs=SHORT, **SHORT, retry=retry)
        return sentinel.master_for(self.name)

    def replicate(self):
        """Wait until the replica has all that the master has."""
        with self.master.client() as master:
            master.set("the last", "write")
            assert master.wait(1, 5000) == 1

    def part(self):
        """Let the replica learn of nothing any more: the master refuses it."""
        with self.replica.client() as replica, self.master.client() as master:
            replica.config_set("masterauth", "wrong")
            replica.config_set("masteruser", "nobody")
            master.client_kill_filter(_type="replica")
            wait_until(lambda: replica.info("replication")["master_link_status"] == "down", "the replica is cut off")

    def has_failed_over(self):
        """Whether the Sentinel leads clients to the replica. It promotes it a moment before."""
        with self.sentinel.client() as sentinel:
            master = sentinel.sentinel_master(self.name)
        with self.replica.client() as replica:
            return (master["port"], master["flags"]) == (self.replica.port, "master") and replica.role()[0] == b"master"


def nodes_known_to(client):
    """Return the flags of each node of a cluster that one node knows, such as `master`."""
    return [node["flags"] for node in client.cluster("NODES").values()]


class RedisCluster(Group):
    """Three masters that share the keys, and a replica of the first one."""

    def begin(self):
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
        for number in range(4):
            self.add(str(number), *options, "--cluster-port", str(free_port()))
        clients = [server.client() for server in self.servers]
        try:
            self._join(clients)
        finally:
            for client in clients:
                client.close()

    def _join(self, clients):
        bus_ports = [client.config_get("cluster-port")["cluster-port"] for client in clients]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for server, bus_port in zip(self.servers[1:], bus_ports[1:], strict=True):
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", server.port, bus_port)
        bounds = (0, 5461, 10923, 16384)
        for number in range(3):
            clients[number].execute_command("CLUSTER ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        wait_until(lambda: all(len(nodes_known_to(client)) == 4 for client in clients), "all nodes have met")
        clients[3].execute_command("CLUSTER REPLICATE", clients[0].execute_command("CLUSTER MYID").decode())
        wait_until(lambda: clients[3].info("replication")["master_link_status"] == "up", "the replica is in step")
        # Any node then leads a client to the replica after a failover.
        wait_until(
            lambda: all("slave" in "".join(nodes_known_to(client)) for client in clients), "all know the replica"
        )
        wait_until(
            lambda: all(client.cluster("INFO")["cluster_state"] == "ok" for client in clients), "the cluster is whole"
        )

    def client(self):
        return redis.RedisCluster("127.0.0.1", self.servers[1].port, **SHORT)

    def asynchronous_client(self):
        return redis.asyncio.RedisCluster("127.0.0.1", self.servers[1].port, **SHORT)
