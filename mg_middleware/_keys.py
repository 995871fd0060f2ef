"""From the `secret` argument, the environment or a file to prepared keys, and the one comparison of signatures."""

from __future__ import annotations

import codecs
import hmac
import os
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from mg_middleware._arguments import forgets_arguments
from mg_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    class SecretObject(Protocol):
        """A wrapped secret, such as pydantic's `SecretStr` and `SecretBytes`."""

        def get_secret_value(self) -> str | bytes:
            """Return the secret itself."""
            ...

    Secret: TypeAlias = "str | bytes | SecretObject | KeyHolder"
    Secrets: TypeAlias = "Secret | Sequence[Secret] | Mapping[str, Secret | Sequence[Secret]]"
    SecretCallable: TypeAlias = Callable[[Any], Secrets | Awaitable[Secrets | None] | None]

SECRET_VARIABLE = "MEETGEEK_WEBHOOK_SECRET"
SECRET_FILE_VARIABLE = "MEETGEEK_WEBHOOK_SECRET_FILE"

# HMAC pads a short key with NUL bytes (RFC 2104, section 2), so a key of NULs is the empty key under another name.
# Vertical tab and form feed are left out: RFC 4231's first and fifth test keys consist of them.
_BLANK_BYTES = b"\0\t\n\r "

_FINGERPRINT_LABEL = b"mg-middleware: fingerprint of a key"
_FINGERPRINT_LENGTH = 32  # hexadecimal digits


class Key:
    """One secret, prepared for HMAC-SHA256 (RFC 2104, FIPS 180-4).

    Args:
        secret: the shared secret.
        key_id: the name under which the user knows it, or `None`.

    Attributes:
        begin: starts the HMAC of one body.
        fingerprint: 32 hexadecimal digits that identify this key. They are half of an HMAC of a fixed text, so
            that they reveal no secret and are the signature of no body.
        key_id: the name.
        reveal: returns the secret, for explaining a mismatch and for renaming the key.
    """

    __slots__ = ("begin", "fingerprint", "key_id", "reveal")

    def __init__(self, secret: bytes, key_id: str | None = None) -> None:
        prepared = hmac.new(secret, digestmod="sha256")
        self.begin: Callable[[], hmac.HMAC] = prepared.copy
        label = prepared.copy()
        label.update(_FINGERPRINT_LABEL)
        self.fingerprint: str = label.hexdigest()[:_FINGERPRINT_LENGTH]
        self.key_id: str | None = key_id
        self.reveal: Callable[[], bytes] = lambda: secret  # so that no attribute shows it

    def named(self, key_id: str | None) -> Key:
        """Return the same key under another name."""
        return Key(self.reveal(), key_id)


class KeyHolder:
    """Base of the objects that hold prepared keys, and may be given as a secret."""

    __slots__ = ("_keys",)

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys

    def keys_held(self) -> tuple[Key, ...]:
        """Return the prepared keys."""
        return self._keys


def is_authentic(mac: hmac.HMAC, signature: bytes) -> bool:
    """Compare an HMAC with a signature in constant time. This is the only place that compares.

    Args:
        mac: the HMAC of the whole body.
        signature: the received signature, 64 lower-case hexadecimal digits.
    """
    return hmac.compare_digest(mac.hexdigest().encode(), signature)


@forgets_arguments
def keys_from(secret: Secrets | None) -> tuple[Key, ...]:
    """Prepare the keys for one secret or several, with names or without.

    Args:
        secret: what the middleware takes as `secret`, except a callable; `None` means the environment variable
            `MEETGEEK_WEBHOOK_SECRET`, else the file named by `MEETGEEK_WEBHOOK_SECRET_FILE`.

    Returns:
        The keys in the order given, at least one.

    Raises:
        ConfigurationError: a secret is empty or blank, none is given, or the file can't be read.
        TypeError: a secret or a name has another type.
    """
    keys = tuple(_each_key(secret_from_environment() if secret is None else secret))
    if not keys:
        raise ConfigurationError("secret is an empty collection")
    _warn_of_equal_names(keys)
    return keys


def _each_key(secret: object) -> Iterator[Key]:
    if not isinstance(secret, Mapping):
        for one in _each(secret):
            yield from _keys_of(one)
        return
    for key_id, secrets in cast("Mapping[object, object]", secret).items():
        if not isinstance(key_id, str):
            raise TypeError(f"the name of a secret must be a str, not {type(key_id).__name__}")
        keys = [key.named(key_id) for one in _each(secrets) for key in _keys_of(one)]
        if not keys:
            raise ConfigurationError(f"no secret is given under the name {key_id!r}")
        yield from keys


def _each(secrets: object) -> Sequence[object]:
    if isinstance(secrets, str | bytes | bytearray | memoryview):
        return [secrets]  # pyright: ignore[reportUnknownVariableType] - a sequence of its own, but one secret
    return cast("Sequence[object]", secrets) if isinstance(secrets, Sequence) else [secrets]


def _keys_of(secret: Any) -> tuple[Key, ...]:
    if isinstance(secret, KeyHolder):
        return secret.keys_held()
    if hasattr(secret, "get_secret_value"):
        secret = secret.get_secret_value()
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
            return (Key(secret.encode()),)
        except UnicodeEncodeError:
            pass  # left before raising: this error holds the secret and would become the context of the new one
        raise ConfigurationError("the secret cannot be encoded as UTF-8")
    if isinstance(secret, bytes):
        if not secret.strip(_BLANK_BYTES):
            raise ConfigurationError("the secret is empty or blank")
        return (Key(secret),)
    raise TypeError(f"a secret must be str or bytes, not {type(secret).__name__}")


def _warn_of_equal_names(keys: tuple[Key, ...]) -> None:
    """Warn if two names have the same HMAC key: the first name would get the deliveries of both."""
    first_name: dict[str, str] = {}
    for key in keys:
        if key.key_id is not None and first_name.setdefault(key.fingerprint, key.key_id) != key.key_id:
            warnings.warn(
                f"the secrets named {first_name[key.fingerprint]!r} and {key.key_id!r} are the same HMAC key: "
                "every delivery of either gets the first name",
                UserWarning,
                stacklevel=3,
            )


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
    content = None
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        reason = error.strerror
    except ValueError:
        reason = "invalid file name"
    else:
        # Some editors put a byte order mark before the text. No secret begins with one.
        try:
            return content.removeprefix(codecs.BOM_UTF8).decode().strip()
        except UnicodeDecodeError:
            reason = "it is not UTF-8 text"
    # Raised here, without the errors above and the path: they may hold the secret itself, pasted in the wrong place.
    raise ConfigurationError(f"the file named by {named_by} cannot be read: {reason}")
