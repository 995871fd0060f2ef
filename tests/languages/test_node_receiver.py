"""The conformance suite over HTTP against a receiver in Node.js: correct, and with each of three mistakes."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

RECEIVER = f"{__file__.rpartition('/')[0]}/receiver.mjs"
SECRET_VARIABLE = "MG_SECRET"

# Each mistake with the MUST checks that find it.
FOUND = {
    "none": set(),
    "reserialised": {"ack.status"},  # the very first delivery fails; the checks that build on it are not blamed
    "missing-accepted": {"sig.missing"},
    "id-demanded": {"ack.failed"},
}


@contextmanager
def receiver(mistake, environment):
    """Run the receiver; gives its port."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    process = subprocess.Popen([node, RECEIVER, mistake], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        with process.stdout as lines:
            yield int(lines.readline())
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("mistake", FOUND)
def test_conformance_suite_finds_the_mistake_and_nothing_else(mistake, tmp_path):
    environment = {**os.environ, SECRET_VARIABLE: "a secret that only Node.js knows"}
    report = tmp_path / "report.json"
    with receiver(mistake, environment) as port:
        completed = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
                f"--meetgeek-app=http://127.0.0.1:{port}/hook",
                f"--meetgeek-secret-env={SECRET_VARIABLE}",
                f"--meetgeek-report={report}",
            ],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    outcomes = json.loads(report.read_text())
    found = {check["id"] for check in outcomes if check["outcome"] == "failed"}
    assert found == FOUND[mistake], completed.stdout
    assert completed.returncode == bool(found), completed.stdout
    assert sum(check["outcome"] == "passed" for check in outcomes) > 40
