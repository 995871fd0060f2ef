"""Why a signature doesn't fit: `explain_mismatch` tries what usually goes wrong."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, NamedTuple

from mg_middleware._arguments import forgets_arguments
from mg_middleware._keys import keys_from
from mg_middleware._variants import (
    ALGORITHM,
    ALGORITHMS,
    CONCATENATED,
    SAME_LENGTH,
    SWAPPED,
    UNKEYED,
    Cause,
    body_variants,
    constant_secrets,
    readings_of,
    secret_variants,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mg_middleware._keys import Key, Secrets

__all__ = ["Explanation", "explain_mismatch"]

_MOST = 12
# What is hashed at most, in bytes: one change at a time is worth more than combinations. Both keep a body of 64 KiB
# under 200 ms, and 1 MiB under 1 s.
_MOST_FOR_ONE_CHANGE = 1024 * 1024 * 1024
_MOST_FOR_COMBINATIONS = 40 * 1024 * 1024
_COST_OF_A_CALL = 512  # bytes that could be hashed in the time of a call


class Explanation(NamedTuple):
    """One way to make a signature fit.

    None of its texts holds a secret, a signature or a part of the body.

    Attributes:
        cause: the stable name of the cause, such as "secret_trailing_newline"; several at once are joined by "+".
        sentence: what makes the signature fit.
        remedy: what to do about it.
    """

    cause: str
    sentence: str
    remedy: str


NOTHING_FITS = Explanation(
    cause="unknown",
    sentence="No usual cause makes the signature fit.",
    remedy="The sender has another secret (that of another account, or an older one), or the body was changed in an "
    "unusual way.",
)
"""What to say if `explain_mismatch` finds nothing."""
NO_SIGNATURE = Explanation(
    cause="no_signature",
    sentence="This isn't a signature in any usual form.",
    remedy="Give the whole value of the header X-MG-Signature: exactly 64 lower-case hexadecimal digits.",
)
EMPTY_BODY = Explanation(
    cause="empty_body",
    sentence="The body is empty.",
    remedy="MeetGeek never sends an empty body. Save the raw bytes of the request before anything else reads them.",
)


@forgets_arguments
def explain_mismatch(secret: Secrets | None, body: bytes, signature: object) -> list[Explanation]:
    """Find out why a signature doesn't fit: try what usually goes wrong with the secret, the body and the signature.

    Not for deciding about a request: only `verify` and the middlewares do that. An explanation is for the operator, and
    takes up to a second for a large body.

    Args:
        secret: the shared secret, in any form that the middleware takes except a callable.
        body: the raw bytes of the request, as received.
        signature: the value of the header `X-MG-Signature`, as received; any object.

    Returns:
        At most twelve explanations, those with the fewest causes first, then the likeliest. The list is empty if no
        usual cause makes the signature fit, or if the signature fits as it is.

    Raises:
        ConfigurationError: the secret is missing, empty or blank.
        TypeError: the secret or the body is of another type.
    """
    if not issubclass(type(body), bytes | bytearray | memoryview):
        raise TypeError(f"the body must be bytes, not {type(body).__name__}")
    return find_explanations(named_secrets(keys_from(secret)), bytes(body), signature)


def find_explanations(
    secrets: list[tuple[str, bytes]],
    body: bytes,
    signature: object,
    *,
    most_for_one_change: int = _MOST_FOR_ONE_CHANGE,
) -> list[Explanation]:
    """Find explanations as `explain_mismatch` does, for secrets that are known to be good.

    Args:
        secrets: for each secret how the texts call it, and its bytes.
        body: the body.
        signature: the signature.
        most_for_one_change: how many bytes to hash at most in the search for a single cause.
    """
    found: list[tuple[Cause, ...]] = []
    for reading in readings_of(signature):
        search = _Search(reading.digest, reading.causes, secrets, body, most_for_one_change)
        if search.fits_as_it_is:
            return []
        found += search.run()
    found.sort(key=len)
    return list(dict.fromkeys(_explanation(causes) for causes in found))[:_MOST]


def explain_header(signature: object) -> list[Explanation]:
    """Explain what the header field alone shows, without a body.

    Args:
        signature: the value of the header, as received.
    """
    explanations: list[Explanation] = []
    for reading in readings_of(signature):
        algorithm = ALGORITHMS[len(reading.digest)]
        causes = reading.causes if algorithm == "sha256" else (*reading.causes, _algorithm(algorithm))
        if causes:
            explanations.append(_explanation(causes, "The header field may be a signature if"))
    return explanations


def without_cause(body: bytes, signature: object) -> list[Explanation]:
    """Say what there is to say where `explain_mismatch` found nothing.

    Args:
        body: the body.
        signature: the signature.
    """
    if not readings_of(signature):
        return [NO_SIGNATURE]
    return [*explain_header(signature), NOTHING_FITS if body else EMPTY_BODY]


def _explanation(causes: tuple[Cause, ...], start: str = "The signature fits if") -> Explanation:
    remedies = dict.fromkeys(cause.remedy for cause in causes)
    return Explanation(
        cause="+".join(dict.fromkeys(cause.name for cause in causes)),
        sentence=f"{start} {', and if '.join(cause.clause for cause in causes)}.",
        remedy=" ".join(remedies),
    )


def _algorithm(name: str) -> Cause:
    return ALGORITHM._replace(clause=ALGORITHM.clause.format(name.upper().replace("_", "-")))


class _Search:
    """The search for the causes of one digest: one change at a time, then a secret's with a body's."""

    def __init__(
        self, digest: bytes, spelling: tuple[Cause, ...], secrets: list[tuple[str, bytes]], body: bytes, most: int
    ) -> None:
        self.digest = digest
        self.spelling = spelling
        self.most = most
        self.spent = 0
        self.algorithm = ALGORITHMS[len(digest)]
        self.of_algorithm = () if self.algorithm == "sha256" else (_algorithm(self.algorithm),)
        self.secrets = [secret for _, secret in secrets]
        self.named = secrets
        self.body = body

    @property
    def fits_as_it_is(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.spelling or self.of_algorithm) and any(
            self._matches(hmac.digest(secret, self.body, "sha256")) for secret in self.secrets
        )

    def run(self) -> list[tuple[Cause, ...]]:
        """Find the causes of the digest: of each combination that fits, one."""
        if self.spelling or self.of_algorithm:
            for secret in self.secrets:
                if self._matches(hmac.digest(secret, self.body, self.algorithm)):
                    return [(*self.spelling, *self.of_algorithm)]
        secrets = list(self._changed_secrets())
        bodies = list(_distinct(body_variants(self.body), known=[self.body]))
        constructions = self._constructions()
        alone = self._one_change(_hmac(self.algorithm), self.of_algorithm, secrets, bodies)
        found = list(alone)
        if not found:
            self.most = self.spent + _MOST_FOR_COMBINATIONS
            for compute, causes in constructions:
                if any(self._computes(compute, secret, self.body) for secret in self.secrets):
                    found.append((*self.spelling, *causes))
        if not found:  # else nothing is changed besides: a hash without a key fits with every changed secret
            for compute, causes in constructions:
                found += self._one_change(compute, causes, secrets, bodies)
        if not found:
            found = list(self._two_changes(secrets, bodies))
        if not found:
            found = list(self._two_changes_swapped(secrets, bodies))
        return found

    def _changed_secrets(self) -> Iterator[tuple[Cause, bytes]]:
        for description, secret in self.named:
            for cause, changed in _distinct(secret_variants(secret), known=self.secrets):
                yield cause._replace(clause=cause.clause.replace("{secret}", description)), changed
        yield from constant_secrets()

    def _constructions(self) -> list[tuple[Callable[[bytes, bytes], bytes], tuple[Cause, ...]]]:
        """What else may have been computed from a secret and a body."""
        name = self.algorithm
        others = [(_hmac(other), (_algorithm(other),)) for other in SAME_LENGTH if len(self.digest) == 32]
        return [
            (_swapped(name), (SWAPPED, *self.of_algorithm)),
            (lambda _, body: hashlib.new(name, body).digest(), (UNKEYED, *self.of_algorithm)),
            (lambda secret, body: hashlib.new(name, secret + body).digest(), (CONCATENATED, *self.of_algorithm)),
            (lambda secret, body: hashlib.new(name, body + secret).digest(), (CONCATENATED, *self.of_algorithm)),
            *others,
        ]

    def _one_change(
        self,
        compute: Callable[[bytes, bytes], bytes],
        causes: tuple[Cause, ...],
        secrets: Iterable[tuple[Cause, bytes]],
        bodies: Iterable[tuple[Cause, bytes]],
    ) -> Iterator[tuple[Cause, ...]]:
        for cause, changed in secrets:
            if self._computes(compute, changed, self.body):
                yield cause, *self.spelling, *causes
        for cause, changed in bodies:
            if any(self._computes(compute, secret, changed) for secret in self.secrets):
                yield cause, *self.spelling, *causes

    def _two_changes(
        self, secrets: list[tuple[Cause, bytes]], bodies: list[tuple[Cause, bytes]]
    ) -> Iterator[tuple[Cause, ...]]:
        """Change a secret and the body. These are many combinations: each key is prepared once and then copied."""
        prepared = [(cause, hmac.new(secret, digestmod=self.algorithm)) for cause, secret in secrets]
        for of_body, body in bodies:
            if self._affords(len(body), len(secrets)):
                for of_secret, mac in prepared:
                    if self._matches(_digest(mac, body)):
                        yield of_secret, of_body, *self.spelling, *self.of_algorithm

    def _two_changes_swapped(
        self, secrets: list[tuple[Cause, bytes]], bodies: list[tuple[Cause, bytes]]
    ) -> Iterator[tuple[Cause, ...]]:
        """The same where key and message are swapped: a body is the key of many secrets, hashed once for all."""
        for of_body, body in bodies:
            if self._affords(len(body)):
                mac = hmac.new(body, digestmod=self.algorithm)
                for of_secret, secret in secrets:
                    if self._matches(_digest(mac, secret)):
                        yield of_secret, of_body, *self.spelling, SWAPPED, *self.of_algorithm

    def _computes(self, compute: Callable[[bytes, bytes], bytes], secret: bytes, body: bytes) -> bool:
        """Whether this is what the sender computed; never after too much was hashed."""
        return self._affords(len(body)) and self._matches(compute(secret, body))

    def _affords(self, size: int, times: int = 1) -> bool:
        self.spent += times * (size + _COST_OF_A_CALL)
        return self.spent <= self.most

    def _matches(self, digest: bytes) -> bool:
        # Nothing is decided by this. It still takes the same time for each digest, as every comparison in this package.
        return hmac.compare_digest(digest, self.digest)


def _digest(prepared: hmac.HMAC, message: bytes) -> bytes:
    mac = prepared.copy()
    mac.update(message)
    return mac.digest()


def _hmac(algorithm: str) -> Callable[[bytes, bytes], bytes]:
    return lambda secret, body: hmac.digest(secret, body, algorithm)


def _swapped(algorithm: str) -> Callable[[bytes, bytes], bytes]:
    return lambda secret, body: hmac.digest(body, secret, algorithm)


def _distinct(variants: Iterable[tuple[Cause, bytes]], known: Iterable[bytes]) -> Iterator[tuple[Cause, bytes]]:
    """Leave out what was there before: the first, and so the likeliest, cause of a value names it."""
    seen = set(known)
    for cause, value in variants:
        if value not in seen:
            seen.add(value)
            yield cause, value


def named_secrets(keys: tuple[Key, ...]) -> list[tuple[str, bytes]]:
    """Return the bytes of each secret, with what the texts call it: its name, or its place among several.

    Args:
        keys: the keys made from the secrets.
    """
    return [
        ("the secret" if len(keys) == 1 else f"secret {place} of {len(keys)}", key.reveal())
        if key.key_id is None
        else (f"the secret named {key.key_id!r}", key.reveal())
        for place, key in enumerate(keys, start=1)
    ]
