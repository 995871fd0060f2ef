import pytest
from command_line_harness import BODY, SIGNATURE


def test_verify_says_genuine(command, body):
    ended = command("verify", body, SIGNATURE)
    assert (ended.status, ended.out, ended.err) == (0, "genuine\n", "")


@pytest.mark.parametrize(
    "signature",
    [SIGNATURE[:-1], SIGNATURE.upper(), f"sha256={SIGNATURE}", "", "é", "0" * 64],
    ids=["short", "capitals", "prefixed", "empty", "not ASCII", "zeros"],
)
def test_verify_says_not_genuine(command, body, signature):
    ended = command("verify", body, signature)
    assert (ended.status, ended.out, ended.err) == (1, "not genuine\n", "")


def test_verify_says_not_genuine_for_another_body(process):
    ended = process("verify", "-", SIGNATURE, input=BODY + b"\n")
    assert (ended.status, ended.out, ended.err) == (1, "not genuine\n", "")
