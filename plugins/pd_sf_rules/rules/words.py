"""Which of many short texts stand in a longer one, by its words: texts seldom repeat, their words do.

One bit, or several, stand for each short text that is looked for.
"""

from collections.abc import Mapping
from functools import reduce
from operator import contains, or_

from pd_sf_rules.rules.operations import TextTest
from pd_sf_rules.rules.patterns import search_for

_REMEMBERED = 2_048
_LONGEST_WORD = 64
_LONGEST_TEXT = 2_000
"""The characters of a word that is remembered, and of a text that is taken apart: both bound the memory."""


class Parts:
    """The texts that conditions look for in a folded text: anywhere, at its beginning, or at its end."""

    def __init__(self, asked: Mapping[tuple[TextTest, str], int]) -> None:
        inner = {part: bits for (test, part), bits in asked.items() if test is contains}
        self._words = _Words({part: bits for part, bits in inner.items() if _one_word(part)})
        self._phrases = [(part, bits) for part, bits in inner.items() if not _one_word(part)]
        ends: dict[tuple[int | None, int | None], dict[str, int]] = {}
        for (test, part), bits in asked.items():
            if test is not contains:
                at = (None, len(part)) if test is str.startswith else (-len(part), None)
                ends.setdefault(at, {})[part] = bits
        self._ends = [(slice(*at), named) for at, named in ends.items()]

    def bits_in(self, text: str) -> int:
        """Return the bits of all that is found."""
        found = 0
        if len(text) <= _LONGEST_TEXT:
            words = self._words
            for word in text.split():
                found |= words[word]
        else:
            found = self._words.bits_in(text)
        for part, bits in self._phrases:
            if part in text:
                found |= bits
        for piece, named in self._ends:
            found |= named.get(text[piece], 0)
        return found


class _Words(dict[str, int]):
    """The bits of the parts that stand in a word: filled as words come, emptied when full."""

    def __init__(self, parts: Mapping[str, int]) -> None:
        super().__init__()
        self._bits = list(parts.values())
        self._search = search_for([(contains, part) for part in parts])

    def __missing__(self, word: str) -> int:
        bits = self.bits_in(word)
        if len(word) <= _LONGEST_WORD:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[word] = bits
        return bits

    def bits_in(self, text: str) -> int:
        """Return the bits of the parts that stand in a text of any length."""
        return reduce(or_, [self._bits[at] for at in self._search(text)], 0)


def _one_word(part: str) -> bool:
    """Tell whether a part can only stand within one word of a text."""
    return part.split() == [part]
