"""Hears everything that is said while something runs, and searches it for what must not be said."""

import base64
import logging
import traceback
import warnings
from contextlib import contextmanager

from cases import signature_of

# Unlike anything else, so that each can be found wherever it stands. No other module spells them out: a traceback shows
# lines of source.
SECRET = "whsec-confidential-4f1d"
SECOND_SECRET = "whsec-alsosecret-77aa"
WORD = "ConfidentialBody"
MEETING = "meetingOfTheBody"
BODY = b'{"message": "File analyzed successfully", "meeting_id": "%s", "title": "%s"}' % (
    MEETING.encode(),
    WORD.encode(),
)
FORGED = signature_of(b"another body", SECRET).decode()
GENUINE = signature_of(BODY, SECRET).decode()


def spellings(value):
    """The ways in which a value can stand in a text."""
    content = value.encode()
    yield value
    yield value.upper()
    yield content.hex()
    yield base64.b64encode(content).decode()[: len(content) // 3 * 4]


def confidential_words():
    """What must not be said; of the signatures, the first half is enough to be found."""
    for value in (SECRET, SECOND_SECRET, WORD, MEETING):
        yield from spellings(value)
    for body in (BODY, b"another body", b"", BODY + b"."):
        for secret in (SECRET, SECOND_SECRET):
            signature = signature_of(body, secret).decode()
            yield signature[:32]
            yield base64.b64encode(bytes.fromhex(signature)).decode()[:20]


WORDS = sorted(set(confidential_words()))


def found_in(text):
    """Name what a text says of what it must not."""
    return [word for word in WORDS if word in text]


class Heard(logging.Handler):
    """All that was logged, warned of and raised."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.setFormatter(
            logging.Formatter("%(name)s %(levelname)s %(message)s %(pathname)s %(funcName)s %(threadName)s")
        )
        self.texts = []

    def emit(self, record):
        # The formatted line has the traceback; the record's own fields are what a handler of JSON writes.
        self.texts += [self.format(record), f"{vars(record)}"]

    def raised(self, error):
        """Take in an error as any reporter of errors may show it, with all that it came from, shown or not."""
        self.texts.append("".join(traceback.format_exception(error)))
        seen = []
        while error is not None and error not in seen:
            seen.append(error)
            self.texts += [str(error), f"{error!r}", f"{error.args!r}", f"{vars(error)!r}"]
            error = error.__cause__ or error.__context__

    def text(self):
        return "\n".join(self.texts)


@contextmanager
def listening(capfd):
    """Listen to all loggers at DEBUG, to warnings, and to both outputs."""
    heard = Heard()
    root = logging.getLogger()
    before = root.level, {name: logging.getLogger(name).level for name in ("mg_middleware", "asyncio")}
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    for name in before[1]:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield heard
    finally:
        root.removeHandler(heard)
        root.setLevel(before[0])
        for name, level in before[1].items():
            logging.getLogger(name).setLevel(level)
        heard.texts += [
            warnings.formatwarning(each.message, each.category, each.filename, each.lineno) for each in warned
        ]
        heard.texts += capfd.readouterr()


def reprs_of(thing, depth=6):
    """Show an object, and all that it holds in attributes of this project's own classes, at any depth."""
    yield repr(thing)
    if depth and type(thing).__module__.partition(".")[0] in {"mg_middleware", "pytest_meetgeek"}:
        names = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
        for name in {*names, *getattr(thing, "__dict__", ())}:
            yield from reprs_of(getattr(thing, name, None), depth - 1)
    elif depth and isinstance(thing, (list, tuple, set, frozenset)):
        for each in thing:
            yield from reprs_of(each, depth - 1)
