"""SOQL text to tokens, and the error texts that point into it."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sandbox.salesforce.errors import ApiError, malformed_query

TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<instant>\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d))
    | (?P<day>\d{4}-\d\d-\d\d)(?![\dTt])
    | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    | (?P<word>[A-Za-z_]\w*)
    | (?P<sign><=|>=|!=|<>|[=<>(),.:])
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """One token: what kind, its text, and where it starts."""

    kind: str
    text: str
    at: int

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords, in any case."""
        return self.kind == "word" and self.text.upper() in words


def tokens_of(query: str) -> list[Token]:
    """Cut a query into tokens, the last of kind ``end``. Raises ApiError MALFORMED_QUERY."""
    found: list[Token] = []
    position = 0
    while True:
        match = TOKEN.match(query, position)
        if match is None or match.lastgroup is None:
            start = position + len(query[position:]) - len(query[position:].lstrip())
            raise unexpected(query, start, query[start : start + 1])
        kind = match.lastgroup
        found.append(Token(kind, match[kind], match.start(kind)))
        if kind == "end":
            return found
        position = match.end()


def pointed(query: str, at: int, message: str) -> str:
    """Return a message in Salesforce's form, with the line and a caret under the place."""
    row = query.count("\n", 0, at) + 1
    start = query.rfind("\n", 0, at) + 1
    line = query[start:].split("\n", 1)[0]
    column = at - start
    return f"\n{line}\n{' ' * column}^\nERROR at Row:{row}:Column:{column + 1}\n{message}"


def unexpected(query: str, at: int, text: str) -> ApiError:
    """Return the error of a token that does not belong there."""
    if not text:
        return malformed_query("unexpected end of query")
    return malformed_query(pointed(query, at, f"unexpected token: '{text}'"))


def unescape(raw: str) -> str:
    """Return the text a quoted literal stands for. Raises ApiError for an unknown escape."""

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "u" and len(code) == 5:
            return chr(int(code[1:], 16))
        if code in ESCAPES or code in "'\"\\_%":
            return ESCAPES.get(code, code)
        text = f"Invalid string literal '{raw}'. Illegal character sequence '\\{code}' in string"
        raise malformed_query(f"{text} literal.")

    # \uD83D\uDE00 is one character written as a surrogate pair.
    return ESCAPE.sub(one, raw).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def like_pattern(raw: str) -> re.Pattern[str]:
    """Return the case-insensitive pattern of a LIKE literal; ``\\%`` and ``\\_`` are literal."""
    parts = []
    for piece in re.findall(r"\\u[0-9a-fA-F]{4}|\\.|[^\\]", raw, re.DOTALL):
        if piece == "%":
            parts.append(".*")
        elif piece == "_":
            parts.append(".")
        else:
            parts.append(re.escape(unescape(piece)))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def read_day(query: str, token: Token) -> date:
    """Return the date a literal stands for. Raises ApiError for one that does not exist."""
    try:
        return date.fromisoformat(token.text)
    except ValueError:
        raise unexpected(query, token.at, token.text) from None


def read_instant(query: str, token: Token) -> datetime:
    """Return the instant a literal stands for, in UTC."""
    try:
        return datetime.fromisoformat(token.text.upper()).astimezone(UTC)
    except ValueError:
        raise unexpected(query, token.at, token.text) from None
