import os
import select
import sys

import pytest

from mg_middleware.cli._output import discarding_output, has_reader_left, redact


def test_a_reader_is_there_until_it_has_closed_its_end(monkeypatch):
    reader, writer = os.pipe()
    with open(writer, "w") as output:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stdout", output)
        assert not has_reader_left()
        os.close(reader)
        assert has_reader_left()


def test_without_a_standard_output_or_a_way_to_tell_no_reader_has_left(monkeypatch):
    monkeypatch.delattr(select, "poll")
    assert not has_reader_left()
    monkeypatch.setattr(sys, "stdout", None)
    assert not has_reader_left()


def test_output_is_discarded_by_whatever_it_is_written_until_the_block_ends(capfd):
    stream = sys.stdout

    def write_and_fail():
        stream.write("meanwhile\n")
        os.write(stream.fileno(), b"meanwhile, too")
        raise LookupError

    stream.write("before\n")
    with pytest.raises(LookupError), discarding_output():
        write_and_fail()
    stream.write("after\n")
    assert capfd.readouterr() == ("before\nafter\n", "")


def test_without_a_standard_output_there_is_nothing_to_discard(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with discarding_output():
        assert sys.stdout is None


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("at redis://user:pass@host:1/0", "at redis://***@host:1/0"),
        ("at redis://:p@ss/w:rd@host", "at redis://***@host"),
        ("at redis://:pass word'\n@host", "at redis://***@host"),
        ("at http://127.0.0.1/hook", "at http://127.0.0.1/hook"),
        ("someone@example.com", "someone@example.com"),
    ],
)
def test_the_password_of_a_url_is_redacted(text, redacted):
    assert redact(text) == redacted
