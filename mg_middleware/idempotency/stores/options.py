"""The options of the stores, checked when a store is built."""

from __future__ import annotations

from math import inf

from mg_middleware.errors import ConfigurationError

DAY = 86_400.0
LEASE = 10.0
MAX_LEASE = 3600.0

# Seconds by which a claim may seem to come from the future before it is void: clocks are adjusted a little, and a step
# may wait for its turn after it read the clock.
CLOCK_SLACK = 15.0

# Redis keeps the end of a key's life in milliseconds, as an integer of 64 bits.
_LONGEST = 10**15


def seconds(name: str, value: object) -> float:
    """Check a duration.

    Args:
        name: the option's name, for the error.
        value: the duration in seconds.

    Returns:
        The duration in seconds.

    Raises:
        ConfigurationError: it is not above zero, or more than a store can count.
        TypeError: it is not a number.
    """
    # bool is an int, but ttl=True is a misunderstanding.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not 0 < value <= _LONGEST:
        raise ConfigurationError(f"{name} must be more than 0 and at most {_LONGEST} seconds, not {value}")
    return float(value)


def seconds_or_forever(name: str, value: object) -> float:
    """Check a duration that may be `None`, which means no expiry.

    Args:
        name: the option's name, for the error.
        value: the duration in seconds, or `None`.

    Returns:
        The duration in seconds; infinity for `None`.

    Raises:
        ConfigurationError: it is not above zero, or more than a store can count.
        TypeError: it is neither a number nor `None`.
    """
    if value is None:
        return inf
    try:
        return seconds(name, value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; None means no expiry") from None


def entries(name: str, value: object) -> int:
    """Check how many entries a store may hold.

    Args:
        name: the option's name, for the error.
        value: the number of entries.

    Returns:
        The number of entries.

    Raises:
        ConfigurationError: it is less than one.
        TypeError: it is not a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ConfigurationError(f"{name} must be at least 1, not {value}")
    return value


def text(name: str, value: object) -> str:
    """Check an option that is text.

    Args:
        name: the option's name, for the error.
        value: the text.

    Returns:
        The text.

    Raises:
        TypeError: it is not a `str`.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value
