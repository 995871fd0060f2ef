import sys

import pytest
from command_line_harness import SECRET

BODY = b'{"message": "File analyzed failed"}'
# printf '%s' "$BODY" | openssl dgst -sha256 -hmac "$SECRET"
SIGNATURE = "ca03ae3dd48ed41fc6827ace6ea3242b762324df8ff5a3fee94f7d55ce378f43"
NAME = "MEETGEEK_WEBHOOK_SECRET"


@pytest.fixture
def body(folder):
    (folder / "body.json").write_bytes(BODY)
    return "body.json"


def test_sign_prints_the_signature_alone(command, body):
    ended = command("sign", body)
    assert (ended.status, ended.out, ended.err) == (0, f"{SIGNATURE}\n", "")


def test_sign_and_verify_work_in_a_pipe(process):
    signed = process("sign", "-", input=BODY)
    assert (signed.status, signed.out) == (0, f"{SIGNATURE}\n")
    verified = process("verify", "-", signed.out.strip(), input=BODY)
    assert (verified.status, verified.out, verified.err) == (0, "genuine\n", "")


@pytest.mark.parametrize(
    "signature",
    [SIGNATURE[:-1], SIGNATURE.upper(), f"sha256={SIGNATURE}", "", "é", "0" * 64],
    ids=["short", "capitals", "prefixed", "empty", "not ASCII", "zeros"],
)
def test_verify_answers_no(command, body, signature):
    ended = command("verify", body, signature)
    assert (ended.status, ended.out, ended.err) == (1, "not genuine\n", "")


def test_verify_answers_no_for_another_body(process):
    ended = process("verify", "-", SIGNATURE, input=BODY + b"\n")
    assert (ended.status, ended.out, ended.err) == (1, "not genuine\n", "")


@pytest.mark.parametrize("source", ["variable", "file of the variable", "file of the option"])
def test_the_secret_comes_from(command, body, folder, monkeypatch, source):
    (folder / "secret").write_text(f"{SECRET}\n")
    monkeypatch.delenv(NAME)
    options = []
    if source == "variable":
        monkeypatch.setenv(NAME, SECRET)
    elif source == "file of the variable":
        monkeypatch.setenv(f"{NAME}_FILE", "secret")
    else:
        monkeypatch.setenv(NAME, "another one, which the option overrules")
        options = ["--secret-file", "secret"]
    assert command("sign", body, *options).out == f"{SIGNATURE}\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), (b" \n", "empty or blank"), (b"\xff\xfe", "not UTF-8")],
    ids=["missing", "blank", "not text"],
)
def test_a_bad_file_of_the_secret_is_one_line(command, body, folder, content, says):
    if content is not None:
        (folder / "secret").write_bytes(content)
    ended = command("sign", body, "--secret-file", "secret")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert says in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ["sign", "shop.py"],
        ["verify", "shop.py", "0"],
        ["serve"],
        ["serve", "shop:app"],
        ["send", "http://127.0.0.1:9/"],
        ["check", "shop:app"],
    ],
    ids=" ".join,
)
def test_without_a_secret_no_command_runs(command, monkeypatch, words):
    monkeypatch.delenv(NAME)
    ended = command(*words)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (f"mg-middleware {words[0]}: no secret: set {NAME} or {NAME}_FILE, or give --secret-file\n")


def test_a_standard_input_that_is_closed_is_one_line(process):
    program = ["sh", "-c", 'exec "$0" -m mg_middleware sign - <&-', sys.executable]
    ended = process(executable=program)
    assert (ended.status, ended.out, ended.err) == (2, "", "mg-middleware sign: there is no standard input\n")


def test_a_file_that_cannot_be_read_is_one_line(command, folder):
    ended = command("sign", folder)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "Is a directory" in ended.err
