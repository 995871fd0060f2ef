"""A body while it arrives: kept in the pieces in which it came."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mg_middleware._body import exact_bytes, keep


def kept(chunks):
    pieces = []
    for chunk in chunks:
        keep(pieces, chunk)
    return pieces


@given(st.lists(st.binary(max_size=2000), max_size=8))
def test_any_chunks_come_out_equal(chunks):
    assert b"".join(kept(chunks)) == b"".join(chunks)


def test_large_chunks_are_kept_as_they_are():
    chunks = [bytes([byte]) * 1024 for byte in range(3)]
    assert [id(chunk) for chunk in kept(chunks)] == [id(chunk) for chunk in chunks]


@pytest.mark.parametrize(
    ("sizes", "expected"),
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
def test_small_pieces_are_joined_up_to_a_kibibyte(sizes, expected):
    assert [len(piece) for piece in kept(b"x" * size for size in sizes)] == expected


@pytest.mark.parametrize("kind", [bytearray, lambda text: memoryview(bytearray(text))], ids=["bytearray", "memoryview"])
def test_a_mutable_chunk_is_copied(kind):
    chunk = kind(b"before")
    copied = exact_bytes(chunk)
    chunk[:] = b"beyond"
    assert copied == b"before"
    assert type(copied) is bytes


def test_the_items_of_a_wide_buffer_are_bytes_in_the_end():
    numbers = array("I", [1, 2, 3])
    assert exact_bytes(memoryview(numbers)) == numbers.tobytes()


def test_a_subclass_of_bytes_becomes_bytes():
    class Chunk(bytes):
        __slots__ = ()

    copied = exact_bytes(Chunk(b"chunk"))
    assert (copied, type(copied)) == (b"chunk", bytes)


@pytest.mark.parametrize("chunk", [5, "text", None, [b"x"]])
def test_what_is_no_bytes_is_a_type_error(chunk):
    with pytest.raises(TypeError):
        exact_bytes(chunk)
