"""The entries of a cache's index: of a fixed size, each with a checksum of its own."""

import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

#: Key, offset and length of the record, its checksum.
CONTENT = struct.Struct("<32sQQ16s")
CHECK_BYTES = 8
ENTRY_BYTES = CONTENT.size + CHECK_BYTES


class Place(NamedTuple):
    """Where a record lies among all records, and its checksum."""

    offset: int
    length: int
    check: bytes

    @property
    def end(self) -> int:
        return self.offset + self.length


def pack_entry(key: bytes, place: Place) -> bytes:
    content = CONTENT.pack(key, *place)
    return content + compute_check(content)[:CHECK_BYTES]


def unpack_entries(data: bytes) -> Iterator[tuple[bytes, Place]]:
    """The whole entries in some bytes, without those that are damaged."""
    for start in range(0, len(data) - ENTRY_BYTES + 1, ENTRY_BYTES):
        content = data[start : start + CONTENT.size]
        check = data[start + CONTENT.size : start + ENTRY_BYTES]
        if compute_check(content)[:CHECK_BYTES] == check:
            key, *place = CONTENT.unpack(content)
            yield key, Place(*place)


def compute_check(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
