"""From the text "module:attribute.attribute" to the object it names."""

from __future__ import annotations

import importlib

from pytest_meetgeek._nearest import did_you_mean
from pytest_meetgeek.response import origin


class TargetError(ValueError):
    """The text names nothing that can be loaded; the message says which part, and what is near."""


def find_owner(target: str) -> tuple[object, str]:
    """Import the module and walk to the object that holds the last attribute.

    Args:
        target: "module:attribute", or with more attributes: "module:Class.method".

    Raises:
        TargetError: The text has another form, the import failed, or there is no such attribute.
    """
    module_name, _, attributes = target.partition(":")
    path = attributes.split(".")
    if not module_name or not all(path):
        raise TargetError(f"{target!r} is not of the form module:attribute, such as 'shop:app'")
    try:
        owner: object = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
        # Where the line is the user's own, it is the import that failed; the name alone may be three modules away.
        place = origin(error)
        where = f", at {place}" if place and "importlib" not in place else ""
        what = " ".join(f"{type(error).__name__}: {error}".split())  # one line, whatever the exception has to say
        raise TargetError(f"cannot import {module_name!r} for {target!r}: {what}{where}") from error
    for name in path[:-1]:
        owner = _attribute(owner, name, target)
    _attribute(owner, path[-1], target)
    return owner, path[-1]


def load(target: str) -> object:
    """Load what the text names.

    Args:
        target: "module:attribute.attribute"; with "()" at its end, what that returns when it is called: a factory.

    Raises:
        TargetError: As `find_owner`; or the factory raised, or is none.
    """
    named = target.removesuffix("()")
    owner, name = find_owner(named)
    loaded = _attribute(owner, name, target)
    if named == target:
        return loaded
    if not callable(loaded):
        raise TargetError(f"{target!r} cannot be called: {named!r} is of type {type(loaded).__name__}")
    try:
        made: object = loaded()
    except Exception as error:  # a factory may raise anything
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise TargetError(f"{target!r} raised {what}, at {origin(error)}") from error
    return made


def _attribute(owner: object, name: str, target: str) -> object:
    try:
        found: object = getattr(owner, name)
    except AttributeError:
        public = [known for known in dir(owner) if not known.startswith("_")]
        owner_name = getattr(owner, "__name__", type(owner).__name__)
        raise TargetError(f"{owner_name!r} of {target!r} has no {name!r}: {did_you_mean(name, public)}") from None
    return found
