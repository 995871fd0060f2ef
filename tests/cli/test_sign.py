from command_line_harness import BODY, SIGNATURE


def test_sign_prints_the_signature_alone(command, body):
    ended = command("sign", body)
    assert (ended.status, ended.out, ended.err) == (0, f"{SIGNATURE}\n", "")


def test_sign_and_verify_work_in_a_pipe(process):
    signed = process("sign", "-", input=BODY)
    assert (signed.status, signed.out) == (0, f"{SIGNATURE}\n")
    verified = process("verify", "-", signed.out.strip(), input=BODY)
    assert (verified.status, verified.out, verified.err) == (0, "genuine\n", "")
