import pytest
from command_line_harness import BODY, SECRET, SIGNATURE


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


def test_it_explains_what_went_wrong(command, body):
    ended = command("verify", body, f"sha256={SIGNATURE}", "--explain")
    assert (ended.status, ended.err) == (1, "")
    assert ended.out == (
        "not genuine\n"
        "The signature fits if its prefix is removed.\n"
        "MeetGeek's signature has no prefix. Send exactly 64 lower-case hexadecimal digits and nothing else.\n"
    )


@pytest.mark.parametrize("quotes", ['"', "'"])
def test_it_explains_a_secret_with_quotes(command, body, monkeypatch, quotes):
    monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", f"{quotes}{SECRET}{quotes}")
    ended = command("verify", body, SIGNATURE, "--explain")
    assert ended.out.startswith("not genuine\nThe signature fits if the quotes around the secret are removed.\n")
    assert SECRET not in ended.out


def test_it_says_that_the_secret_is_another_one(command, body, monkeypatch):
    monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", "that of another account")
    ended = command("verify", body, SIGNATURE, "--explain")
    assert ended.out == (
        "not genuine\n"
        "No usual cause makes the signature fit.\n"
        "The sender has another secret (that of another account, or an older one), or the body was changed in an "
        "unusual way.\n"
    )


def test_it_says_what_the_signature_alone_shows(command, body, monkeypatch):
    monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", "that of another account")
    ended = command("verify", body, SIGNATURE.upper(), "--explain")
    assert "The header field may be a signature if its digits are written in lower case.\n" in ended.out
    assert "No usual cause makes the signature fit.\n" in ended.out


@pytest.mark.parametrize("signature", ["", SIGNATURE[:-1], "not a signature", "é" * 64])
def test_it_says_that_the_signature_is_none(command, body, signature):
    ended = command("verify", body, signature, "--explain")
    assert ended.out == (
        "not genuine\n"
        "This isn't a signature in any usual form.\n"
        "Give the whole value of the header X-MG-Signature: exactly 64 lower-case hexadecimal digits.\n"
    )


def test_it_says_that_the_body_is_empty(process):
    ended = process("verify", "-", "0" * 64, "--explain", input=b"")
    assert ended.out == (
        "not genuine\n"
        "The body is empty.\n"
        "MeetGeek never sends an empty body. Save the raw bytes of the request before anything else reads them.\n"
    )


def test_it_explains_nothing_if_the_signature_is_genuine(command, body):
    ended = command("verify", body, SIGNATURE, "--explain")
    assert (ended.status, ended.out, ended.err) == (0, "genuine\n", "")
