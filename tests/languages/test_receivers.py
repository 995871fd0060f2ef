"""`mg-middleware check` against receivers in Node.js and Perl: correct, and with each of several mistakes."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.slow

FOLDER = __file__.rpartition("/")[0]
SECRET_VARIABLE = "MG_SECRET"
SECRET = "a secret that only the receiver knows"

# What a check needs that can't be had at a URL.
SKIPPED = {
    *("raw.chunked", "rej.no-log", "ack.before-work", "rep.fail-no-leak", "rep.lost-worker"),
    *("cfg.unset-secret", "cfg.padded-secret"),
}

# Each mistake with the checks that find it, under --strict.
FOUND = {
    "reserialised": {"ack.status"},  # the very first delivery fails; the checks that build on it are not blamed
    "text-hashed": {"raw.unicode"},
    "missing-accepted": {"sig.missing"},
    "id-demanded": {"ack.failed"},
    "forgetful": {"rep.idempotent"},
    "failure-swallowed": {"rep.fail-then-retry"},
}
# What is said of Python's ways, or of mistakes that nobody made, helps nobody here.
FOREIGN = ("utf-8-sig", "KeyError", "Flask", "FastAPI's", "the app raised")


@contextmanager
def receiver(program, script, mistake, folder):
    """Run the receiver; gives its port."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    if (
        program == "perl"
        and subprocess.run([found, "-MDigest::SHA", "-e1"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this perl comes without Digest::SHA")  # Debian's perl-base
    (folder / "done").touch()
    command = [found, f"{FOLDER}/{script}", mistake, folder]
    environment = {**os.environ, SECRET_VARIABLE: SECRET}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        with process.stdout as lines:
            yield int(lines.readline())
    finally:
        process.kill()
        process.wait()


def check(port, folder):
    """Run the suite as the documentation shows it; gives its exit status, its results and what it printed."""
    completed = subprocess.run(
        [
            *(sys.executable, "-m", "mg_middleware", "check", f"http://127.0.0.1:{port}/hook", "--strict"),
            *("--secret-env", SECRET_VARIABLE, "--report", "report.json"),
            *("--count", "wc -l done", "--break", "touch broken", "--heal", "rm broken"),
            *("--", "-p", "no:cacheprovider"),
        ],
        cwd=folder,
        env={**os.environ, SECRET_VARIABLE: SECRET},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    results = {each["id"]: each for each in json.loads((folder / "report.json").read_text())}
    return completed.returncode, results, completed.stdout + completed.stderr


@pytest.mark.parametrize(("program", "script"), [("node", "receiver.mjs"), ("perl", "receiver.pl")])
def test_a_right_receiver_passes_strictly(program, script, tmp_path):
    with receiver(program, script, "none", tmp_path) as port:
        status, results, output = check(port, tmp_path)
    others = {check_id: each["outcome"] for check_id, each in results.items() if each["outcome"] != "passed"}
    assert others == dict.fromkeys(SKIPPED, "skipped"), output
    assert status == 0, output
    assert "refusals judged by their status alone" not in output
    assert SECRET not in output


@pytest.mark.parametrize("mistake", FOUND)
def test_the_suite_finds_the_mistake_and_nothing_else(mistake, tmp_path):
    with receiver("node", "receiver.mjs", mistake, tmp_path) as port:
        status, results, output = check(port, tmp_path)
    found = {check_id: each for check_id, each in results.items() if each["outcome"] in {"failed", "warned"}}
    assert set(found) == FOUND[mistake], output
    assert status == 1, output
    said = "\n".join(each[name] for each in found.values() for name in ("received", "note", "why"))
    assert not [word for word in FOREIGN if word in said]
    if mistake == "reserialised":
        assert "the app hashes JSON that it parsed and wrote again" in said
