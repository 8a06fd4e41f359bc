"""Damage to a file's bytes, the same for the same seed."""

import random

_EXTREME = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """One to three damages: bits, numbers, pieces lost, repeated, exchanged, blank, the end cut off."""
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        chance.choice((_bits, _bits, _number, _number, _lost, _repeated, _exchanged, _blank, _cut))(damaged, chance)
    return bytes(damaged)


def _piece(content: bytearray, chance: random.Random) -> slice:
    begin = chance.randrange(len(content) + 1)
    return slice(begin, min(len(content), begin + chance.choice((1, 4, 16, 64, 512))))


def _bits(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 4, 16))):
        if content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _number(content: bytearray, chance: random.Random) -> None:
    size = chance.choice((1, 2, 4, 8))
    if len(content) >= size:
        at = chance.randrange(len(content) - size + 1)
        number = chance.choice(_EXTREME) % 2 ** (8 * size)
        content[at : at + size] = number.to_bytes(size, chance.choice(("little", "big")))


def _lost(content: bytearray, chance: random.Random) -> None:
    del content[_piece(content, chance)]


def _repeated(content: bytearray, chance: random.Random) -> None:
    piece = content[_piece(content, chance)]
    at = chance.randrange(len(content) + 1)
    content[at:at] = piece * chance.choice((1, 2, 40))


def _exchanged(content: bytearray, chance: random.Random) -> None:
    piece = content[_piece(content, chance)]
    at = chance.randrange(len(content) + 1)
    content[at : at + len(piece)] = piece


def _blank(content: bytearray, chance: random.Random) -> None:
    where = _piece(content, chance)
    content[where] = bytes([chance.choice((0, 0xFF))]) * len(content[where])


def _cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content) + 1) :]
