"""No command shows the secret or a body; the one that is asked for the signature shows it, and no other."""

import pytest
from command_line_harness import SECRET

from mg_middleware import sign

WORD = "ConfidentialBody"
BODY = f'{{"message": "File analyzed failed", "title": "{WORD}"}}'.encode()
SIGNATURE = sign(SECRET, BODY)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["send", "URL", "--body", "body.json"], 0),
        (["send", "URL", "--body", "body.json", "--forge", "secret-itself"], 1),
        (["send", "URL", "--body", "body.json", "--forge", "body-changed"], 1),
        (["send", "URL", "--body", "body.json", "--forge", "no-such-forgery"], 2),
        (["send", "http://127.0.0.1:9/", "--body", "body.json"], 2),
        (["send", "http://192.0.2.1/", "--body", "body.json"], 2),
        (["send", "ftp://127.0.0.1/", "--body", "body.json"], 2),
        (["send", "URL", "--body", "body.json", "--event", "failed"], 2),
        (["verify", "body.json", SIGNATURE], 0),
        (["verify", "body.json", SIGNATURE[::-1]], 1),
        (["verify", "body.json", SIGNATURE, "--secret-file", "no-text"], 2),
        (["sign", "body.json", "--secret-file", SECRET], 2),
        (["sign", "body.json", "--secret-file", f"{SECRET}\0"], 2),
        (["sign", "no-file"], 2),
        (["serve", "no_module:app"], 2),
        (["serve", "broken:app"], 2),
        (["serve", "shop:number"], 2),
        (["serve", "shop:app", "--store", f"redis://:{SECRET}@127.0.0.1:port/0"], 2),
        (["serve", "shop:app", "--store", "no_folder/meetings.db"], 2),
        (["check", "http://127.0.0.1:9/"], 2),
        (["sign", "body.json", "--secret-env", SECRET], 2),
        (["send", f"http://user:{SECRET}@127.0.0.1:9/", "--body", "body.json"], 2),
        (["send", f"http://user:{SECRET}@[::1/"], 2),
        (["send", f"http://user:a/b{SECRET}@127.0.0.1:9/"], 2),
        (["send", f"ftp://user:{SECRET}@127.0.0.1/"], 2),
        (["send", f"user:{SECRET}@127.0.0.1:9"], 2),
        (["check", f"http://user:{SECRET}@127.0.0.1:9/"], 2),
        (["check", f"user:{SECRET}@127.0.0.1:9"], 2),
        (["serve", "shop:app", f"redis://:{SECRET}@127.0.0.1:6379"], 2),
        (["serve", "shop:app", "--host", "no-such-host.invalid", "--store", f"redis://:{SECRET}@127.0.0.1:9/0"], 2),
        (
            [
                "serve",
                "shop:app",
                "--host",
                "no-such-host.invalid",
                "--store",
                f"postgresql://user:{SECRET}@127.0.0.1/db",
            ],
            2,
        ),
        (["sign", f"redis://user:pass word{SECRET}@127.0.0.1"], 2),
    ],
    ids=lambda value: (
        " ".join(value).replace("\0", "").replace(SECRET, "SECRET").replace(SIGNATURE, "SIGNATURE")
        if isinstance(value, list)
        else None
    ),
)
def test_nothing_confidential_is_shown(command, folder, request, words, status):
    if "URL" in words:
        words = [request.getfixturevalue("receiver").url if word == "URL" else word for word in words]
    (folder / "body.json").write_bytes(BODY)
    (folder / "no-text").write_bytes(SECRET.encode() + b"\xff")
    ended = command(*words)
    assert ended.status == status
    shown = ended.out + ended.err
    assert shown
    assert [word for word in (SECRET, WORD, SIGNATURE) if word in shown] == []
