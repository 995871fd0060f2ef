"""Counts the processor's instructions for one guarded request, and compares them with the stored count.

    python tools/instruction_count.py            # exit status 0: as before, 1: not as before, 77: cannot be told
    python tools/instruction_count.py --store    # after a change that was meant to change it

Time depends on what else a machine does; instructions do not. They do depend on how Python and OpenSSL were built, so a
count is stored with the build that it was made with, and counts for no other.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import mg_middleware

STORED = Path(__file__).with_suffix(".json")
TOLERANCE = 0.03
REQUESTS = 1000
AS_BEFORE, NOT_AS_BEFORE, CANNOT_TELL = 0, 1, 77
# Hashing the same way on every processor (OPENSSL_ia32cap(3)), and sets in the same order in every run.
ENVIRONMENT = {"OPENSSL_ia32cap": "0:0", "PYTHONHASHSEED": "0"}

WORKLOAD = """
import logging, sys
from io import BytesIO
sys.path.append(sys.argv[1])
from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware

logging.getLogger("mg_middleware").setLevel(logging.ERROR)
BODY = b'{"message": "File analyzed successfully", "meeting_id": "9f1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"}'
SIGNATURE = "473f013b1799bb8813d0324d79ed3f2745efd333ba82495c2f56087b0643df5e"
PATH = "/webhooks/meetgeek"
fields = [(b"host", b"example.org"), (b"user-agent", b"MeetGeek"), (b"accept", b"*/*"),
          (b"content-type", b"application/json"), (b"content-length", b"95")]
signed = [*fields, (b"x-mg-signature", SIGNATURE.encode())]
environ = {"REQUEST_METHOD": "POST", "PATH_INFO": PATH, "SCRIPT_NAME": "", "CONTENT_LENGTH": "95",
           "CONTENT_TYPE": "application/json", "HTTP_X_MG_SIGNATURE": SIGNATURE}
answered = 0

async def asgi(scope, receive, send):
    global answered
    answered += (await receive())["body"] == BODY

def wsgi(environ, start_response):
    global answered
    answered += environ["wsgi.input"].read() == BODY
    return []

async def receive():
    return {"type": "http.request", "body": BODY, "more_body": False}

async def send(event):
    pass

guarded_asgi = MeetGeekASGIMiddleware(asgi, "whsec", paths=PATH)
guarded_wsgi = MeetGeekWSGIMiddleware(wsgi, "whsec", paths=PATH)

async def requests(count):
    for _ in range(count):
        for path, headers in ((PATH, signed), (PATH, fields), ("/api/users/42", fields)):
            scope = {"type": "http", "method": "POST", "path": path, "root_path": "", "headers": headers}
            await guarded_asgi(scope, receive, send)
        guarded_wsgi({**environ, "wsgi.input": BytesIO(BODY)}, lambda status, headers: None)

count = int(sys.argv[2])
try:
    requests(count).send(None)
except StopIteration:
    pass
assert answered == 3 * count, answered
"""


def build():
    """Name everything that the count depends on."""
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    libc = " ".join(platform.libc_ver())
    return f"{sys.version}, {ssl.OPENSSL_VERSION}, {libc}, {valgrind}, {platform.machine()}".replace("\n", "")


def instructions(requests):
    """Count the instructions of a process that handles so many requests of each kind."""
    where = str(Path(mg_middleware.__file__).parent.parent)
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    # -S: nothing that is installed takes part. -B: no process leaves files that make the next one quicker.
    command += [sys.executable, "-S", "-s", "-B", "-P", "-c", WORKLOAD, where, str(requests)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    return int(re.search(r"Collected : (\d+)", ended.stderr)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", action="store_true", help="store the count for this build of Python")
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("the program valgrind is not on PATH (apt-get install valgrind)")
        return CANNOT_TELL
    counts = json.loads(STORED.read_text())
    if build() not in counts and not arguments.store:
        print(f"no count is stored for {build()}")
        return CANNOT_TELL
    instructions(0)  # so that both counts find the same files
    count = round((instructions(REQUESTS) - instructions(0)) / REQUESTS)
    if arguments.store:
        STORED.write_text(json.dumps({**counts, build(): count}, indent=2) + "\n")
        print(f"stored: {count} instructions")
        return AS_BEFORE
    change = count / counts[build()] - 1
    print(f"{count} instructions, {change:+.1%} of what is stored")
    return AS_BEFORE if abs(change) <= TOLERANCE else NOT_AS_BEFORE


if __name__ == "__main__":
    sys.exit(main())
