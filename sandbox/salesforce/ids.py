"""Salesforce record ids: 15 case-sensitive characters, or 18 with a checksum of the case."""

import string

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
CHECKSUM = string.ascii_uppercase + "012345"
POD = "SB0"  # the three characters that name the instance in a real id


def with_checksum(short: str) -> str:
    """Turn a 15-character id into its 18-character form."""
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(1 << n for n, char in enumerate(short[start : start + 5]) if char.isupper())
        suffix += CHECKSUM[bits]
    return short + suffix


def mint(prefix: str, serial: int) -> str:
    """Return the 18-character id number ``serial`` (from 1) of the object with that prefix."""
    digits = ""
    while serial:
        serial, rest = divmod(serial, len(DIGITS))
        digits = DIGITS[rest] + digits
    return with_checksum(prefix + POD + digits.rjust(9, "0"))


def normalise(text: str) -> str | None:
    """Return the canonical 18-character id, or None if the text cannot be an id.

    15 characters are case-sensitive. Of 18 the checksum restores the case, as Salesforce does
    for ids that went through a tool that folds case.
    """
    if not (text.isascii() and text.isalnum()):
        return None
    if len(text) == 15:
        return with_checksum(text)
    if len(text) != 18:
        return None
    short = ""
    for position, char in enumerate(text[:15]):
        bits = CHECKSUM.find(text[15 + position // 5].upper())
        if bits < 0:
            return None
        short += char.upper() if bits >> (position % 5) & 1 else char.lower()
    return with_checksum(short)
