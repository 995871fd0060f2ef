"""Two hosts share a store, and one of them is cut off in the middle of a handler."""

import os
import subprocess
import time
from contextlib import closing

import hosts
import pytest
from hosts import Network, PostgreSQLOnHost, RedisOnHost

from mg_middleware import SQLAlchemyStore

pytestmark = pytest.mark.slow

LEASE = 2.4


@pytest.fixture
def network():
    network = Network()
    yield network
    network.remove()


@pytest.fixture(params=[RedisOnHost, PostgreSQLOnHost], ids=["redis", "postgresql"])
def server(request, network):
    server = request.param(network)
    try:
        if server.kind == "postgresql":
            socket = f"postgresql+psycopg://tester@/postgres?host={server.folder}&port={server.port}"
            with closing(SQLAlchemyStore(socket)) as store:
                store.create_table()
        yield server
    finally:
        server.remove()


@pytest.fixture
def receive(network, server, workers):
    """Start a receiver on a host that gets the meeting, once or more often, and whose handler takes some seconds."""

    def receive(host, seconds=0.0, times=1, protocol="WSGI"):
        process = workers.start(
            server.kind,
            server.location(host),
            protocol,
            ["m-1"] * times,
            at_once=1,
            lease=LEASE,
            seconds=seconds,
            within=network.within(host),
            name=host,
        )
        workers.go([process])
        return process

    return receive


def wait_until_begun(host, workers, seconds=20):
    deadline = time.monotonic() + seconds
    while f"{host}-begins-m-1" not in workers.runs():
        assert time.monotonic() < deadline, f"no handler on {host} within {seconds} seconds"
        time.sleep(0.01)


def test_a_host_that_is_lost_in_its_handler_leaves_the_event_to_the_other(receive, network, workers):
    lost = receive("one", seconds=60)
    wait_until_begun("one", workers)
    network.cut("one")  # the server gets no word that its client has gone
    lost.kill()
    assert workers.statuses([receive("two", times=2)]) == [200, 200]
    assert workers.runs() == {"one-begins-m-1": 1, "two-begins-m-1": 1, "two-ends-m-1": 1}


def test_a_host_that_is_cut_off_for_less_than_a_lease_keeps_its_claim(receive, network, workers):
    cut_off = receive("one", seconds=3 * LEASE)
    wait_until_begun("one", workers)
    network.cut("one")
    time.sleep(LEASE / 3)  # a renewal is due
    network.join("one")
    assert workers.statuses([receive("two"), cut_off]) == [200, 200]
    assert workers.runs() == {"one-begins-m-1": 1, "one-ends-m-1": 1}


@pytest.mark.parametrize("protocol", ["ASGI", "WSGI"])
def test_a_host_that_is_cut_off_for_longer_goes_on_and_the_other_runs_the_meeting_as_well(
    receive, network, workers, protocol, capfd
):
    cut_off = receive("one", seconds=2 * LEASE, protocol=protocol)
    wait_until_begun("one", workers)
    network.cut("one")
    assert workers.statuses([receive("two", times=2)]) == [200, 200]
    assert workers.statuses([cut_off]) == [200]
    assert "failed to renew" in capfd.readouterr().err
    each_once = dict.fromkeys(("one-begins-m-1", "one-ends-m-1", "two-begins-m-1", "two-ends-m-1"), 1)
    assert workers.runs() == each_once
    network.join("one")
    assert workers.statuses([receive("one")]) == [200]
    assert workers.runs() == each_once


def refuse(*arguments):
    raise subprocess.CalledProcessError(1, arguments, stderr="Operation not permitted\n")


@pytest.mark.parametrize(
    ("module", "name", "value", "outcome", "reason"),
    [
        (os, "getuid", lambda: 1000, pytest.skip.Exception, "only root can make network namespaces"),
        (hosts, "find_program", lambda name: None, pytest.fail.Exception, "Debian's package iproute2 has it"),
        (hosts, "run_ip", refuse, pytest.skip.Exception, "allows no network namespaces: Operation not permitted"),
    ],
    ids=["no root", "no iproute2", "no namespaces"],
)
def test_in_ci_hosts_are_left_out_only_where_they_cannot_be(monkeypatch, module, name, value, outcome, reason):
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(hosts, "find_program", lambda name: name)
    monkeypatch.setattr(module, name, value)
    with pytest.raises(outcome, match=reason):
        Network()
