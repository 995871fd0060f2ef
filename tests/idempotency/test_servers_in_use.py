"""A database server that is missing can't go unnoticed: its tests say so, and fail where CI=true."""

import shutil
import subprocess
import sys
from pathlib import Path

import database_programs
import database_servers
import pytest
import redis_servers

ROOT = Path(__file__).parents[2]

SERVERS = {
    "redis-server": redis_servers.start_redis_server,
    "postgresql": lambda folder: database_servers.PostgreSQLServer(),
    "mariadb-server": lambda folder: database_servers.MariaDBServer(),
}


@pytest.fixture
def nothing_is_found(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, **options: None)
    monkeypatch.setattr(Path, "glob", lambda path, pattern: iter(()))


@pytest.mark.parametrize("package", SERVERS)
@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
@pytest.mark.usefixtures("nothing_is_found")
def test_a_missing_server_is_a_skip_and_in_ci_a_failure(package, ci, outcome, monkeypatch, tmp_path):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=f"Debian's package {package} has it"):
        SERVERS[package](tmp_path)


@pytest.mark.usefixtures("nothing_is_found")
def test_what_is_missing_is_named():
    assert (
        database_programs.servers_in_use()
        == "redis-server not found, postgres not found, mariadbd not found, memcached not found"
    )


def test_every_run_of_the_tests_shows_the_servers():
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-n", "2", Path(__file__).with_name("test_stores.py")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert f"database servers: {database_programs.servers_in_use()}" in result.stdout


@pytest.mark.parametrize("package", [*database_programs.PROGRAMS.values(), "iproute2"])
def test_the_gate_installs_the_server(package):
    gate = ROOT / ".ci" / "run"
    if not gate.exists():
        pytest.skip("the gate is not in the source distribution")
    assert f"]={package}" in gate.read_text(encoding="utf-8")
