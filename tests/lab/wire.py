# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers packed by hand, as field=value: python3-grpcio is all that the tests'
gRPC clients need.
"""


def varint(number):
    packed = b""
    while number > 0x7F:
        packed += bytes([number & 0x7F | 0x80])
        number >>= 7
    return packed + bytes([number])


def pack(fields):
    """{number: int, str, bytes, dict (a message), or a list of these}"""
    packed = b""
    for number, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                packed += varint(number << 3) + varint(one)
                continue
            if isinstance(one, dict):
                one = pack(one)
            elif isinstance(one, str):
                one = one.encode()
            packed += varint(number << 3 | 2) + varint(len(one)) + one
    return packed


def unpack(packed):
    """{number: the last value}, messages and strings as bytes"""
    fields, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = packed[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(packed):
        key = number()
        if key & 7 == 0:
            fields[key >> 3] = number()
        else:
            size = number() if key & 7 == 2 else 8 if key & 7 == 1 else 4
            fields[key >> 3] = packed[at:at + size]
            at += size
    return fields
