"""The nearest right name for a mistyped one."""

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Word a suggestion, to put behind "unknown name".

    Args:
        name: What was written.
        known: The names that exist.
    """
    from difflib import get_close_matches

    names = list(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"known: {', '.join(names)}"
