"""What an answer says and who gave it."""

from __future__ import annotations

from servers.wire import APPLICATION_HEADER, NoAnswerError

from mg_middleware import _refusals as refusals

_REFUSALS = {
    (refusal.status, refusal.body) for refusal in vars(refusals).values() if isinstance(refusal, refusals.Refusal)
}


def giver_of(answer, method="POST"):
    """Tell whether the application, the guard or the server itself gave an answer."""
    if answer.values(APPLICATION_HEADER):
        return "application"
    if (answer.status, answer.body) in _REFUSALS:
        return "guard"
    if method == "HEAD" and answer.values("www-authenticate"):
        return "guard"
    return "server"


def answer_of(connection, method="POST"):
    """Read the answer as the table writes it; where none comes, the reason."""
    try:
        answer = connection.receive_answer(method=method)
    except NoAnswerError as error:
        return _joined(error.interim, error.reason)
    return in_words(answer, method)


def in_words(answer, method="POST"):
    return _joined(answer.interim, f"{answer.status} {giver_of(answer, method)}")


def _joined(interim, last):
    return ", ".join([*map(str, interim), last])
