"""What several commands take: the secret, a file, and the options that are the same everywhere."""

import sys

import click
import pytest
from command_line_harness import SECRET, SIGNATURE

from mg_middleware.cli import commands

NAME = "MEETGEEK_WEBHOOK_SECRET"


@pytest.mark.parametrize("source", ["variable", "file of the variable", "file of the option", "variable of the option"])
def test_the_secret_comes_from(command, body, folder, monkeypatch, source):
    (folder / "secret").write_text(f"{SECRET}\n")
    monkeypatch.delenv(NAME)
    options = []
    if source == "variable":
        monkeypatch.setenv(NAME, SECRET)
    elif source == "file of the variable":
        monkeypatch.setenv(f"{NAME}_FILE", "secret")
    elif source == "variable of the option":
        monkeypatch.setenv(NAME, "another one, which the option overrules")
        monkeypatch.setenv("SHOP_SECRET", f"{SECRET}\n")
        options = ["--secret-env", "SHOP_SECRET"]
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
    ("value", "says"),
    [(None, "is not set"), (" \n", "empty or blank")],
    ids=["missing", "blank"],
)
def test_a_bad_variable_of_the_secret_is_one_line(command, body, monkeypatch, value, says):
    if value is not None:
        monkeypatch.setenv("SHOP_SECRET", value)
    ended = command("sign", body, "--secret-env", "SHOP_SECRET")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("mg-middleware sign: --secret-env: ")
    assert says in ended.err


def test_the_secret_has_one_source(command, body):
    ended = command("sign", body, "--secret-env", "SHOP_SECRET", "--secret-file", "secret")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "mg-middleware sign: --secret-file and --secret-env exclude each other\n"


def options_by_name():
    """Each option with its default, metavar, type and repetition in each command that has it."""
    found = {}
    context = click.Context(commands)
    for name in commands.list_commands(context):
        for option in commands.get_command(context, name).params:
            if isinstance(option, click.Option):
                for spelling in option.opts:
                    found.setdefault(spelling, {})[name] = option
    return found


@pytest.mark.parametrize("name", ["--interface", "--allow-host", "--cacert", "--secret-env", "--secret-file"])
def test_an_option_is_the_same_in_all_commands(name):
    options = options_by_name()[name]
    assert len(options) > 1
    assert len({(option.metavar, repr(option.default), option.help) for option in options.values()}) == 1


def test_every_path_is_the_root_unless_given():
    options = options_by_name()["--path"]
    assert {name: option.default for name, option in options.items()} == {"serve": ["/"], "check": "/", "bench": "/"}
    assert all(option.show_default for option in options.values())


def test_no_option_has_a_second_spelling():
    for spelling, options in options_by_name().items():
        for option in options.values():
            assert (option.opts, option.secondary_opts) == ([spelling], [])


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
    assert ended.err == (
        f"mg-middleware {words[0]}: no secret: set {NAME} or {NAME}_FILE, or give --secret-env or --secret-file\n"
    )


def test_a_standard_input_that_is_closed_is_one_line(process):
    program = ["sh", "-c", 'exec "$0" -m mg_middleware sign - <&-', sys.executable]
    ended = process(executable=program)
    assert (ended.status, ended.out, ended.err) == (2, "", "mg-middleware sign: FILE: there is no standard input\n")


def test_a_file_that_cannot_be_read_is_one_line(command, folder):
    ended = command("sign", folder)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "Is a directory" in ended.err
