"""The fuzzer: `python tools/fuzzing [SECONDS]`, ten minutes if not said, shared by the targets.

Each target gets half of its time from Hypothesis, which makes requests by itself; and half from libFuzzer (through
atheris), which makes bytes, keeps those that reach new branches of the guard, and has Hypothesis read requests out of
them. What breaks the invariant ends the run; Hypothesis keeps it, and `pytest tests/tools/test_fuzzing.py` then shows
it at its smallest.
"""

import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).parent
TESTS = FOLDER.parents[1] / "tests"
_LONGEST_INPUT = 8192  # bytes: Hypothesis reads no more
_FIRST_INPUTS = 500
_EXAMPLES = 500  # that Hypothesis makes at a time


def say(target, engine, requests, seconds):
    print(f"{target}: {requests} requests by {engine} in {seconds:.0f} s", flush=True)


def generate(target, seconds):
    """Let Hypothesis make requests; what it finds is raised."""
    from test_fuzzing import TARGETS, fuzz_test  # noqa: PLC0415 - after the path of modules is set

    test = fuzz_test(TARGETS[target], _EXAMPLES)
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        test()
        rounds += 1
    say(target, "Hypothesis", rounds * _EXAMPLES, time.monotonic() - began)


def fuzz(target, seconds, corpus):
    """Let libFuzzer make requests; ends this process, since libFuzzer does not return."""
    import atheris  # noqa: PLC0415 - only the process that fuzzes is instrumented

    with atheris.instrument_imports(include=["mg_middleware"]):
        from test_fuzzing import TARGETS, fuzz_test  # noqa: PLC0415

        import mg_middleware.events  # noqa: PLC0415
        import mg_middleware.idempotency.asgi  # noqa: PLC0415
        import mg_middleware.idempotency.wsgi  # noqa: F401, PLC0415 - the guard loads it later, too late to be seen

    read_request = fuzz_test(TARGETS[target], _EXAMPLES).hypothesis.fuzz_one_input
    for number in range(_FIRST_INPUTS):  # or libFuzzer would begin with a byte or two, which hold no request
        Path(corpus, str(number)).write_bytes(random.randbytes(random.randrange(_LONGEST_INPUT)))  # noqa: S311
    began, requests = time.monotonic(), 0

    def check(content):
        nonlocal requests
        requests += read_request(content) is not None
        if time.monotonic() - began > seconds:
            say(target, "libFuzzer", requests, seconds)
            os._exit(0)

    sizes = [f"-max_len={_LONGEST_INPUT}", "-len_control=0", "-reduce_inputs=0"]
    atheris.Setup([sys.argv[0], *sizes, f"-artifact_prefix={corpus}/", corpus], check)
    atheris.Fuzz()


def main(seconds):
    """Fuzz each target in turn; gives the exit status."""
    from hostile_requests import TARGETS  # noqa: PLC0415

    share = seconds / len(TARGETS) / 2
    for target in TARGETS:
        generate(target, share)
        with tempfile.TemporaryDirectory() as corpus:
            command = [sys.executable, str(FOLDER), target, str(share), corpus]
            run = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        if run.returncode:
            print(run.stderr)
            return run.returncode
    return 0


if __name__ == "__main__":
    sys.path[:0] = [str(FOLDER), str(TESTS), str(TESTS / "tools")]
    logging.basicConfig(filename=os.devnull, level=logging.DEBUG)  # so that every line is formatted
    match sys.argv[1:]:
        case [target, seconds, corpus]:
            fuzz(target, float(seconds), corpus)
        case [seconds]:
            sys.exit(main(int(seconds)))
        case _:
            sys.exit(main(600))
