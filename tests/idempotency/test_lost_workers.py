"""A worker is killed in its handler, and MeetGeek sends again at once: the event is processed, and never twice."""

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from database_servers import free_port
from once_per_meeting import signature, succeeded

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent
SERVERS = {
    "uvicorn": ["uvicorn", "served:asgi_app", "--workers", "2", "--log-level", "warning", "--port"],
    "gunicorn": [
        "gunicorn",
        "served:wsgi_app",
        "--workers",
        "2",
        "--log-level",
        "warning",
        "--timeout",
        "60",
        "--bind",
    ],
}


def post(port, body):
    """Send one POST as MeetGeek does; `None` if the connection breaks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/webhook", body, {"X-MG-Signature": signature(body)})
        response = connection.getresponse()
        return response.status, response.read()
    except (http.client.HTTPException, OSError):
        return None
    finally:
        connection.close()


def wait_until_served(port, process):
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
        except OSError:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not respond"
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()


@pytest.fixture(params=SERVERS)
def port(request, shared, tmp_path):
    kind, location = shared
    (tmp_path / "runs.log").touch()
    port = free_port()
    address = str(port) if request.param == "uvicorn" else f"127.0.0.1:{port}"
    environment = {
        **os.environ,
        "RUNS_LOG": str(tmp_path / "runs.log"),
        "STORE": kind,
        "LOCATION": str(location),
        "PYTHONPATH": str(FOLDER),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", *SERVERS[request.param], address],
        cwd=FOLDER,
        env=environment,
        start_new_session=True,
    )
    try:
        wait_until_served(port, process)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.timeout(180)
def test_a_worker_that_is_killed_in_its_handler_loses_no_event(port, tmp_path):
    body = succeeded()
    assert post(port, body) is None  # the first POST: its worker is killed
    begun = time.monotonic()
    responses = [post(port, body) for _ in range(2)]  # the two that are left, at once
    assert (200, b"") in responses
    assert time.monotonic() - begun < 30
    assert (tmp_path / "runs.log").read_text().split() == ["begun-m-1", "begun-m-1", "done-m-1"]
    assert post(port, body) == (200, b"")
    assert (tmp_path / "runs.log").read_text().count("done") == 1
