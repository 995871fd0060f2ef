"""What the public functions that take a secret do with their arguments."""

from __future__ import annotations

from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def forgets_arguments(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Decorate a public function that takes a secret.

    Error reporters store the local variables of each frame of a traceback. When the function raises, those of the
    package's own frames are cleared. An unknown keyword raises a `TypeError` that names the nearest right word.
    """

    @wraps(function)
    def forgetting(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            hint = _hint(function, list(kwargs)) if isinstance(error, TypeError) else None
            clear_frames(error, set())
            if hint is None:
                raise
        finally:
            del args, kwargs
        raise TypeError(hint)

    return forgetting


def clear_frames(error: BaseException, seen: set[int]) -> None:
    """Clear the local variables of the package's frames in the tracebacks of an error and of those it came from.

    Args:
        error: the error.
        seen: the ids of the errors that are done: they may form a circle.
    """
    seen.add(id(error))
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if str(frame.f_globals.get("__name__")).startswith("mg_middleware"):
            with suppress(RuntimeError):  # it still runs: it is the caller's, which deletes its arguments itself
                frame.clear()
        traceback = traceback.tb_next
    for earlier in (error.__cause__, error.__context__):
        if earlier is not None and id(earlier) not in seen:
            clear_frames(earlier, seen)


def _hint(function: Callable[..., object], given: list[str]) -> str | None:
    """Return what to say of the first unknown keyword, if there is one."""
    from difflib import get_close_matches  # for the error alone
    from inspect import signature

    known = [name for name in signature(function).parameters if name != "self"]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
            return f"{function.__qualname__.removesuffix('.__init__')} got an unexpected argument {name!r}: {remedy}"
    return None
