"""Our `sign` against the HMACs of other languages, over the same random and edge bodies: one process for each."""

import random
import shutil
import subprocess

import pytest

from mg_middleware import sign

SEED = 20260
FOLDER_OF_PROGRAMS = __file__.rpartition("/")[0]
EDGES = [
    b"",
    b"\0",
    b"\n",
    b"\r\n",
    b"\xff\xfe\xfd",
    b"\xef\xbb\xbf{}",
    b"null",
    b'{"message": "File analyzed successfully", "meeting_id": "00000000-0000-4000-8000-000000000000"}',
    b'{"message": "File analyzed failed"}',
    '{"title": "Besprechung \u2013 Größe \U0001f600"}'.encode(),
    bytes(range(256)),
    *(b"a" * length for length in (55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 65_535, 65_536, 1_048_576)),
]
SECRETS = [b"a secret", "ein Schlüssel \U0001f511".encode(), bytes(range(1, 64)), b"k" * 64, b"k" * 65, b"k" * 200]


def _cases():
    """Make 1 000 bodies, each with one of the secrets: the edges, then random ones of any bytes."""
    chance = random.Random(SEED)  # noqa: S311 - the same bodies in every run
    bodies = EDGES + [chance.randbytes(chance.randrange(2000)) for _ in range(1000 - len(EDGES))]
    return [(SECRETS[number % len(SECRETS)], body) for number, body in enumerate(bodies)]


CASES = _cases()


def _needed(program):
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def _answers(command, **options):
    lines = "".join(f"{secret.hex()} {body.hex()}\n" for secret, body in CASES)
    completed = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=100, check=True, **options)
    return completed.stdout.split()


@pytest.fixture(scope="module")
def ours():
    assert len(CASES) == 1000
    return [sign(secret, body) for secret, body in CASES]


def test_sign_agrees_with_node(ours):
    assert _answers([_needed("node"), f"{FOLDER_OF_PROGRAMS}/sign.mjs"]) == ours


def test_sign_agrees_with_java(ours):
    assert _answers([_needed("java"), f"{FOLDER_OF_PROGRAMS}/Sign.java"]) == ours


def test_sign_agrees_with_go(ours, tmp_path):
    program = tmp_path / "sign"
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    subprocess.run(
        [_needed("go"), "build", "-o", program, f"{FOLDER_OF_PROGRAMS}/sign.go"],
        env=environment,
        timeout=100,
        check=True,
    )

    assert _answers([program]) == ours


def test_sign_agrees_with_openssl(tmp_path):
    """One secret, since one process of openssl takes one; the bodies are files."""
    secret = SECRETS[1]
    names = [f"{number:04}" for number in range(len(CASES))]
    for name, (_, body) in zip(names, CASES, strict=True):
        (tmp_path / name).write_bytes(body)
    command = [_needed("openssl"), "dgst", "-sha256", "-r", "-mac", "HMAC", "-macopt", f"hexkey:{secret.hex()}"]
    completed = subprocess.run(
        [*command, *names], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True
    )

    answers = dict(reversed(line.split(" *")) for line in completed.stdout.splitlines())
    assert answers == {name: sign(secret, body) for name, (_, body) in zip(names, CASES, strict=True)}
