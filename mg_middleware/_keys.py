"""From the user's `secret` argument, the environment or a file to prepared keys."""

from __future__ import annotations

import codecs
import os
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mg_middleware._verification import Key, KeyRing
from mg_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from mg_middleware._verification import Keys

    Secret: TypeAlias = str | bytes
    Secrets: TypeAlias = Secret | Sequence[Secret] | Mapping[str, Secret | Sequence[Secret]]
    SecretCallable: TypeAlias = Callable[[Any], Secrets | Awaitable[Secrets | None] | None]

SECRET_VARIABLE = "MEETGEEK_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
SECRET_FILE_VARIABLE = "MEETGEEK_WEBHOOK_SECRET_FILE"  # noqa: S105 - the name of a variable

# HMAC pads a short key with NUL bytes (RFC 2104, section 2), so a key of NULs is the empty key under another name.
# Vertical tab and form feed are left out: RFC 4231's first and fifth test keys consist of them.
_BLANK_BYTES = b"\0\t\n\r "


def keys_from(secret: Secrets | None) -> Keys:
    """Prepare the key for a secret, or the keys for several, with names or without.

    Args:
        secret: what the middleware takes as `secret`, but a callable; `None` means the environment variable
            `MEETGEEK_WEBHOOK_SECRET`, else the file named by `MEETGEEK_WEBHOOK_SECRET_FILE`.

    Returns:
        A `Key`, or a `KeyRing` of several in the order given.

    Raises:
        ConfigurationError: a secret is empty or blank, none is given, or the file cannot be read.
        TypeError: a secret or a name is of another type.
    """
    if secret is None:
        return _key(secret_from_environment())
    if isinstance(secret, Mapping):
        keys = tuple(key for key_id, secrets in secret.items() for key in _keys_named(key_id, secrets))
    else:
        keys = tuple(_key(one) for one in _each(secret))
    if not keys:
        raise ConfigurationError("no secret is given: the collection of secrets is empty")
    return keys[0] if len(keys) == 1 else KeyRing(keys)  # a ring of one would take longer


def _keys_named(key_id: object, secrets: Secret | Sequence[Secret]) -> tuple[Key, ...]:
    if not isinstance(key_id, str):
        raise TypeError(f"the name of a secret must be a str, not {type(key_id).__name__}")
    keys = tuple(_key(one, key_id) for one in _each(secrets))
    if not keys:
        raise ConfigurationError(f"no secret is given under the name {key_id!r}")
    return keys


def _each(secrets: object) -> Iterator[object]:
    if isinstance(secrets, Sequence) and not isinstance(secrets, str | bytes | bytearray | memoryview):
        yield from secrets  # pyright: ignore[reportUnknownVariableType] - each one is checked by _key
    else:
        yield secrets


def _key(secret: object, key_id: str | None = None) -> Key:
    if isinstance(secret, str):
        if not any(character.isprintable() and not character.isspace() for character in secret):
            raise ConfigurationError("the secret is empty or blank")
        if secret != secret.strip():
            warnings.warn(
                "the secret begins or ends with white space, which is used as given: was a newline pasted with it?",
                UserWarning,
                stacklevel=2,
            )
        try:
            return Key(secret.encode(), key_id)
        except UnicodeEncodeError:
            pass  # left before raising: the error at hand holds the secret, and would be the new one's context
        raise ConfigurationError("the secret cannot be encoded as UTF-8")
    if isinstance(secret, bytes):
        if not secret.strip(_BLANK_BYTES):
            raise ConfigurationError("the secret is empty or blank")
        return Key(secret, key_id)
    raise TypeError(f"a secret must be str or bytes, not {type(secret).__name__}")


def secret_from_environment() -> str:
    """Read the secret that the environment configures.

    Not to be called for each request: it reads a file.

    Returns:
        `MEETGEEK_WEBHOOK_SECRET`, else the content of the file named by `MEETGEEK_WEBHOOK_SECRET_FILE`, either without
        the white space around it. It may be empty.

    Raises:
        ConfigurationError: neither is set, or the file cannot be read.
    """
    secret = os.environ.get(SECRET_VARIABLE)
    if secret is not None:
        return secret.strip()
    path = os.environ.get(SECRET_FILE_VARIABLE)
    if path is None:
        raise ConfigurationError(
            f"no secret is configured: give secret=, or set {SECRET_VARIABLE} or {SECRET_FILE_VARIABLE}"
        )
    return secret_from_file(path, SECRET_FILE_VARIABLE)


def secret_from_file(path: str, named_by: str) -> str:
    """Read a secret from a file of its own.

    Args:
        path: the file.
        named_by: the variable or option that names the file, for the error.

    Returns:
        The file's text, without a byte order mark and the white space around it. It may be empty.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib would be imported for this line alone
            content = file.read()
    except OSError as error:
        content, reason = None, error.strerror
    except ValueError:
        content, reason = None, "no such name is possible"
    else:
        reason = None
    if content is None:
        # Without the path, and without the error that holds it: the secret itself may have been put in its place.
        raise ConfigurationError(f"the file named by {named_by} cannot be read: {reason}")
    # Some editors put a byte order mark before the text. No secret begins with one.
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode().strip()
    except UnicodeDecodeError:
        pass  # left before raising: the error at hand holds the secret, and would be the new one's context
    raise ConfigurationError(f"the file named by {named_by} is not UTF-8 text")
