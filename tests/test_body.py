"""A body while it arrives: counted, hashed, kept in the pieces in which it came."""

import math
from array import array

import pytest
from cases import OTHER_SECRET, SECRET, signature_of
from hypothesis import given
from hypothesis import strategies as st

from mg_middleware.body import Body
from mg_middleware.signature import Key

KEYS = (Key(SECRET.encode(), "first"), Key(OTHER_SECRET.encode(), "second"))


def body_of(*chunks, limit=math.inf):
    body = Body(KEYS, limit)
    assert [body.add(chunk) for chunk in chunks] == [True] * len(chunks)
    return body


@given(st.lists(st.binary(max_size=2000), max_size=8))
def test_any_chunks_come_out_equal_and_are_verified(chunks):
    body, whole = body_of(*chunks), b"".join(chunks)
    assert b"".join(body.chunks) == whole
    assert body.size == len(whole)
    assert body.matching_key(signature_of(whole)) is KEYS[0]
    assert body.matching_key(signature_of(whole, OTHER_SECRET)) is KEYS[1]
    assert body.matching_key(signature_of(whole + b"x")) is None


def test_no_chunk_is_an_empty_body():
    body = body_of()
    assert (body.chunks, body.size) == ([], 0)
    assert body.matching_key(signature_of(b"")) is KEYS[0]


def test_large_chunks_are_kept_as_they_are():
    chunks = [bytes([byte]) * 1024 for byte in range(3)]
    kept = body_of(*chunks).chunks
    assert [id(chunk) for chunk in kept] == [id(chunk) for chunk in chunks]


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([1000, 23], [1023]),
        ([1000, 24], [1024]),
        ([1000, 25], [1000, 25]),
        ([1024, 1], [1024, 1]),
        ([1, 1024], [1, 1024]),
        ([1] * 1024, [1024]),
        ([1] * 1025, [1024, 1]),
        ([2000, 1, 1], [2000, 2]),
        ([5, 0, 5], [10]),
        ([2000, 0], [2000, 0]),
    ],
)
def test_small_pieces_are_joined_up_to_a_kibibyte(sizes, kept):
    assert [len(chunk) for chunk in body_of(*(b"x" * size for size in sizes)).chunks] == kept


@pytest.mark.parametrize("sizes", [[10], [9], [4, 6], [10, 0], [0, 10]])
def test_a_body_up_to_its_limit_is_taken(sizes):
    body = body_of(*(b"x" * size for size in sizes), limit=10)
    assert body.size == sum(sizes)


@pytest.mark.parametrize(("before", "last"), [([], 11), ([10], 1), ([4, 6], 1), ([5], 100)])
def test_the_chunk_that_goes_over_the_limit_is_refused_and_not_kept(before, last):
    body = body_of(*(b"x" * size for size in before), limit=10)
    assert body.add(b"y" * last) is False
    assert b"".join(body.chunks) == b"x" * sum(before)
    assert body.size == sum(before) + last


def test_a_limit_of_nothing_takes_nothing():
    body = body_of(b"", limit=0)
    assert body.add(b"x") is False


@pytest.mark.parametrize("kind", [bytearray, lambda text: memoryview(bytearray(text))], ids=["bytearray", "memoryview"])
def test_a_mutable_chunk_is_copied(kind):
    chunk = kind(b"before")
    body = body_of(chunk)
    chunk[:] = b"beyond"
    assert body.chunks == [b"before"]
    assert type(body.chunks[0]) is bytes
    assert body.matching_key(signature_of(b"before")) is KEYS[0]


def test_the_items_of_a_wide_buffer_are_counted_in_bytes():
    numbers = array("I", [1, 2, 3])
    body = body_of(memoryview(numbers))
    assert body.size == len(numbers.tobytes())
    assert body.chunks == [numbers.tobytes()]


def test_a_subclass_of_bytes_is_copied():
    class Chunk(bytes):
        __slots__ = ()

    body = body_of(Chunk(b"chunk"))
    assert [type(chunk) for chunk in body.chunks] == [bytes]
    assert body.chunks == [b"chunk"]


@pytest.mark.parametrize("chunk", [5, "text", None, [b"x"]])
def test_what_is_no_bytes_is_a_type_error(chunk):
    with pytest.raises(TypeError):
        Body(KEYS, math.inf).add(chunk)


def test_two_bodies_under_one_key_do_not_mix():
    first, second = Body(KEYS, math.inf), Body(KEYS, math.inf)
    for letter in (b"a", b"b"):
        first.add(letter)
        second.add(letter.upper())
    assert first.matching_key(signature_of(b"ab")) is KEYS[0]
    assert second.matching_key(signature_of(b"AB")) is KEYS[0]
