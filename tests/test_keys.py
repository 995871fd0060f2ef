"""From every form of the `secret` argument, the environment and a file to keys."""

import re
import traceback
import warnings
from collections import UserDict, UserList
from types import MappingProxyType

import pytest
from cases import OTHER_SECRET, SECRET, SUCCEEDED, signature_of
from exchange import each

from mg_middleware import ConfigurationError
from mg_middleware._keys import keys_from

VARIABLE = "MEETGEEK_WEBHOOK_SECRET"
FILE_VARIABLE = "MEETGEEK_WEBHOOK_SECRET_FILE"
BLANK = r"^the secret is empty or blank$"
ENDS_WARNING = "the secret begins or ends with white space, which is used as given: was a newline pasted with it?"


@pytest.fixture(autouse=True)
def no_configured_secret(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(FILE_VARIABLE, raising=False)


@pytest.fixture
def secret_file(monkeypatch, tmp_path):
    path = tmp_path / "secret"
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    return path


def signatures_by(secret):
    """What each key makes of the documented body, with its name."""
    found = []
    for key in keys_from(secret):
        mac = key.begin()
        mac.update(SUCCEEDED)
        found.append((key.key_id, mac.hexdigest()))
    return found


def expected(*pairs):
    return [(key_id, signature_of(SUCCEEDED, secret).decode()) for key_id, secret in pairs]


FIRST, SECOND = SECRET, OTHER_SECRET
FORMS = {
    "str": (FIRST, [(None, FIRST)]),
    "bytes": (FIRST.encode(), [(None, FIRST)]),
    "str over ASCII, as UTF-8": ("clé-ключ", [(None, "clé-ключ")]),
    "list": ([FIRST, SECOND.encode()], [(None, FIRST), (None, SECOND)]),
    "tuple": ((SECOND, FIRST), [(None, SECOND), (None, FIRST)]),
    "list of one": ([FIRST], [(None, FIRST)]),
    "another sequence": (UserList([FIRST, SECOND]), [(None, FIRST), (None, SECOND)]),
    "mapping": ({"a": FIRST, "b": SECOND.encode()}, [("a", FIRST), ("b", SECOND)]),
    "mapping to sequences": ({"a": [FIRST, SECOND], "b": "third"}, [("a", FIRST), ("a", SECOND), ("b", "third")]),
    "read-only mapping": (MappingProxyType({"a": (FIRST,)}), [("a", FIRST)]),
    "another mapping": (UserDict({"a": FIRST}), [("a", FIRST)]),
    "an empty name": ({"": FIRST}, [("", FIRST)]),
    "one printable character": ("x", [(None, "x")]),
    "white space inside": ("a b\tc", [(None, "a b\tc")]),
}


@pytest.mark.parametrize(("secret", "keys"), [pytest.param(*row, id=name) for name, row in FORMS.items()])
def test_every_form_gives_its_keys_in_order(secret, keys):
    assert signatures_by(secret) == expected(*keys)


BLANKS = {
    "empty str": "",
    "empty bytes": b"",
    "spaces": "   ",
    "spaces as bytes": b"   ",
    "a newline": "\n",
    "a newline as bytes": b"\r\n\t",
    "no-break space": "\xa0",
    "zero-width space": "\u200b",
    "byte order mark": "\ufeff",
    "NUL": "\0",
    "NULs": "\0" * 64,
    "NULs as bytes": b"\0" * 64,
    "NULs and spaces": b"\0 \0\n",
    "controls": "\x01\x7f",
}


@pytest.mark.parametrize("blank", each(BLANKS))
def test_a_blank_secret_is_refused_wherever_it_stands(blank):
    for secret in (blank, [blank], [SECRET, blank], {"a": SECRET, "b": blank}, {"a": [SECRET, blank]}):
        with pytest.raises(ConfigurationError, match=BLANK):
            keys_from(secret)


@pytest.mark.parametrize("byte", [byte for byte in range(256) if byte not in b"\0\t\n\r "])
def test_any_other_byte_is_a_key(byte):
    assert len(keys_from(bytes([byte]) * 20)) == 1


def test_the_key_that_equals_the_empty_one_is_refused():
    assert signature_of(SUCCEEDED, "\0") == signature_of(SUCCEEDED, "")
    with pytest.raises(ConfigurationError, match=BLANK):
        keys_from(b"\0")


@pytest.mark.parametrize("empty", [[], (), {}], ids=["list", "tuple", "mapping"])
def test_an_empty_collection_is_refused(empty):
    with pytest.raises(ConfigurationError, match=r"^secret is an empty collection$"):
        keys_from(empty)


@pytest.mark.parametrize("secret", [{"tenant": []}, {"other": SECRET, "tenant": ()}])
def test_a_name_without_secrets_is_refused(secret):
    with pytest.raises(ConfigurationError, match=r"^no secret is given under the name 'tenant'$"):
        keys_from(secret)


WRONG_TYPES = {
    "a number": (5, "int"),
    "a bool": (True, "bool"),
    "a bytearray": (bytearray(b"whsec"), "bytearray"),
    "a memoryview": (memoryview(b"whsec"), "memoryview"),
    "a set": ({SECRET}, "set"),
    "a generator": ((one for one in [SECRET]), "generator"),
    "an object": (object(), "object"),
    "a number in a list": ([SECRET, 5], "int"),
    "None in a list": ([None], "NoneType"),
    "a list in a list": ([[SECRET]], "list"),
    "a number under a name": ({"tenant": 5}, "int"),
    "a mapping under a name": ({"tenant": {"a": SECRET}}, "dict"),
    "None under a name": ({"tenant": None}, "NoneType"),
}


@pytest.mark.parametrize(("secret", "name"), [pytest.param(*row, id=name) for name, row in WRONG_TYPES.items()])
def test_a_secret_of_another_type_is_a_type_error(secret, name):
    with pytest.raises(TypeError, match=rf"^a secret must be str or bytes, not {name}$"):
        keys_from(secret)


@pytest.mark.parametrize(("name", "kind"), [(5, "int"), (b"tenant", "bytes"), (None, "NoneType")])
def test_a_name_of_another_type_is_a_type_error(name, kind):
    with pytest.raises(TypeError, match=rf"^the name of a secret must be a str, not {kind}$"):
        keys_from({name: SECRET})


@pytest.mark.parametrize("secret", [SECRET + "\n", " " + SECRET, SECRET + "\xa0", "\t" + SECRET + "\r\n"])
def test_white_space_at_the_ends_of_a_str_warns_and_is_kept(secret):
    with pytest.warns(UserWarning, match=f"^{re.escape(ENDS_WARNING)}$") as caught:
        found = signatures_by([secret])
    assert found == expected((None, secret))
    assert len(caught) == 1


def test_white_space_at_the_ends_of_bytes_is_meant():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert signatures_by(b" whsec\n") == expected((None, " whsec\n"))
    assert caught == []


def test_a_secret_that_is_no_unicode_is_refused_without_being_shown():
    secret = "whsec_shown_nowhere\ud800"
    with pytest.raises(ConfigurationError, match=r"^the secret cannot be encoded as UTF-8$") as raised:
        keys_from(secret)
    assert raised.value.__context__ is None
    assert "shown_nowhere" not in "".join(traceback.format_exception(raised.value))


def test_nothing_configured_is_refused_with_the_remedy():
    with pytest.raises(
        ConfigurationError,
        match=rf"^no secret is configured: give secret=, or set {VARIABLE} or {FILE_VARIABLE}$",
    ):
        keys_from(None)


@pytest.mark.parametrize("ends", ["", "\n", " \t\r\n", "\xa0"])
def test_the_environment_is_read_and_stripped(monkeypatch, ends):
    monkeypatch.setenv(VARIABLE, f"{ends}{SECRET}{ends}")
    assert signatures_by(None) == expected((None, SECRET))


def test_the_variable_goes_before_the_file(monkeypatch, secret_file):
    secret_file.write_text(OTHER_SECRET)
    monkeypatch.setenv(VARIABLE, SECRET)
    assert signatures_by(None) == expected((None, SECRET))


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_variable_is_refused_and_the_file_not_asked(monkeypatch, secret_file, blank):
    secret_file.write_text(SECRET)
    monkeypatch.setenv(VARIABLE, blank)
    with pytest.raises(ConfigurationError, match=BLANK):
        keys_from(None)


def test_a_secret_that_is_given_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv(VARIABLE, OTHER_SECRET)
    assert signatures_by(SECRET) == expected((None, SECRET))


@pytest.mark.parametrize(
    "content",
    [SECRET, f"{SECRET}\n", f" \t{SECRET} \r\n", f"\ufeff{SECRET}\n"],
    ids=["alone", "newline", "white space", "byte order mark"],
)
def test_the_file_is_read_and_stripped(secret_file, content):
    secret_file.write_bytes(content.encode())
    assert signatures_by(None) == expected((None, SECRET))


@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf", b"\0\0"])
def test_a_blank_file_is_refused(secret_file, content):
    secret_file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=BLANK):
        keys_from(None)


def test_a_missing_file_is_refused_with_the_reason(secret_file):
    with pytest.raises(ConfigurationError) as raised:
        keys_from(None)
    assert str(raised.value) == f"the file named by {FILE_VARIABLE} cannot be read: No such file or directory"


def test_a_secret_given_as_the_file_name_is_shown_nowhere(monkeypatch):
    monkeypatch.setenv(FILE_VARIABLE, "whsec_shown_nowhere")
    with pytest.raises(ConfigurationError) as raised:
        keys_from(None)
    assert "whsec_shown_nowhere" not in "".join(traceback.format_exception(raised.value))


def test_a_folder_in_place_of_the_file_is_refused(secret_file):
    secret_file.mkdir()
    with pytest.raises(ConfigurationError, match=rf"^the file named by {FILE_VARIABLE} cannot be read: "):
        keys_from(None)


def test_an_impossible_file_name_is_refused(monkeypatch):
    monkeypatch.setattr("mg_middleware._keys.os.environ", {FILE_VARIABLE: "secret\0"})
    with pytest.raises(
        ConfigurationError, match=rf"^the file named by {FILE_VARIABLE} cannot be read: invalid file name$"
    ):
        keys_from(None)


def test_an_empty_file_name_is_refused(monkeypatch):
    monkeypatch.setenv(FILE_VARIABLE, "")
    with pytest.raises(ConfigurationError, match=rf"^the file named by {FILE_VARIABLE} cannot be read: "):
        keys_from(None)


def test_a_file_that_is_no_text_is_refused_without_being_shown(secret_file):
    secret_file.write_bytes(b"whsec_shown_nowhere\xff")
    reason = rf"^the file named by {FILE_VARIABLE} cannot be read: it is not UTF-8 text$"
    with pytest.raises(ConfigurationError, match=reason) as raised:
        keys_from(None)
    assert raised.value.__context__ is None
    assert "shown_nowhere" not in "".join(traceback.format_exception(raised.value))


def test_a_configuration_error_is_a_value_error():
    assert issubclass(ConfigurationError, ValueError)
