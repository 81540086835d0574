"""The part of the SOQL parser that reads conditions, paths and literals."""

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.soql.lexer import Token, read_day, read_instant, unexpected
from sandbox.salesforce.soql.relative_days import COUNTED, PLAIN
from sandbox.salesforce.soql.syntax import (
    Aggregate,
    Comparison,
    Condition,
    Day,
    Instant,
    Junction,
    Membership,
    Negation,
    Null,
    Number,
    Path,
    Query,
    RelativeDay,
    Term,
    Text,
    Truth,
)

AGGREGATES = ("COUNT", "COUNT_DISTINCT", "MIN", "MAX", "SUM", "AVG")
COMPARISONS = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class ConditionParser:
    """Walks over the tokens of one query."""

    def __init__(self, source: str, tokens: list[Token]) -> None:
        self.source = source
        self._tokens = tokens
        self._next = 0

    # tokens

    @property
    def current(self) -> Token:
        """Return the token that comes next."""
        return self._tokens[self._next]

    @property
    def following(self) -> Token:
        """Return the token after that."""
        return self._tokens[min(self._next + 1, len(self._tokens) - 1)]

    def advance(self) -> Token:
        """Take the next token."""
        token = self.current
        self._next += 1
        return token

    def unexpected(self) -> ApiError:
        """Return the error of the token that comes next."""
        return unexpected(self.source, self.current.at, self.current.text)

    def accept(self, word: str) -> bool:
        """Take the next token if it is this keyword."""
        if self.current.is_word(word):
            self._next += 1
            return True
        return False

    def word(self, word: str) -> None:
        """Take this keyword. Raises ApiError if something else stands there."""
        if not self.accept(word):
            raise self.unexpected()

    def sign(self, sign: str) -> bool:
        """Take the next token if it is this sign."""
        if self.current.kind == "sign" and self.current.text == sign:
            self._next += 1
            return True
        return False

    def expect(self, sign: str) -> None:
        """Take this sign. Raises ApiError if something else stands there."""
        if not self.sign(sign):
            raise self.unexpected()

    def name(self) -> str:
        """Take a name."""
        if self.current.kind != "word":
            raise self.unexpected()
        return self.advance().text

    def finish(self) -> None:
        """Make sure that nothing is left."""
        if self.current.kind != "end":
            raise self.unexpected()

    # paths and operands

    def path(self) -> Path:
        """Take a dotted field name, perhaps inside ``toLabel()``."""
        at = self.current.at
        first = self.name()
        if first.casefold() == "tolabel" and self.sign("("):
            inner = self.path()
            self.expect(")")
            return Path(inner.parts, inner.at, label=True)
        parts = [first]
        while self.sign("."):
            parts.append(self.name())
        return Path(tuple(parts), at)

    def operand(self) -> Path | Aggregate:
        """Take a field or an aggregate function."""
        token = self.current
        if token.is_word(*AGGREGATES) and self.following.text == "(":
            self.advance()
            self.expect("(")
            if self.sign(")"):
                if token.text.upper() != "COUNT":
                    raise self.unexpected()
                return Aggregate("COUNT", None, None, token.at)
            path = self.path()
            self.expect(")")
            return Aggregate(token.text.upper(), path, None, token.at)
        return self.path()

    # conditions

    def condition(self) -> Condition:
        """Take a condition. AND and OR may not be mixed without parentheses."""
        if self.accept("NOT"):
            return Negation(self._part())
        first = self._part()
        for word in ("AND", "OR"):
            parts = [first]
            while self.accept(word):
                parts.append(self._part())
            if len(parts) > 1:
                if self.current.is_word("AND", "OR"):
                    raise self.unexpected()
                return Junction("AND" if word == "AND" else "OR", tuple(parts))
        return first

    def _part(self) -> Condition:
        if self.sign("("):
            inner = self.condition()
            self.expect(")")
            return inner
        return self._test()

    def _test(self) -> Condition:
        left = self.operand()
        if self.current.kind == "sign" and self.current.text in COMPARISONS:
            return Comparison(left, COMPARISONS[self.advance().text], self._term())
        if self.accept("LIKE"):
            return Comparison(left, "LIKE", self._term())
        if isinstance(left, Path):
            if self.accept("IN"):
                return Membership(left, "IN", self._members())
            if self.accept("NOT"):
                self.word("IN")
                return Membership(left, "NOT IN", self._members())
            if self.accept("INCLUDES"):
                return Membership(left, "INCLUDES", self._terms())
            if self.accept("EXCLUDES"):
                return Membership(left, "EXCLUDES", self._terms())
        raise self.unexpected()

    def _members(self) -> "tuple[Term, ...] | Query":
        if self.current.text == "(" and self.following.is_word("SELECT"):
            self.expect("(")
            query = self.query()
            self.expect(")")
            return query
        return self._terms()

    def query(self) -> Query:
        """Take a whole query; the subclass knows how."""
        raise NotImplementedError

    def _terms(self) -> tuple[Term, ...]:
        self.expect("(")
        terms = [self._term()]
        while self.sign(","):
            terms.append(self._term())
        self.expect(")")
        return tuple(terms)

    def _term(self) -> Term:
        token = self.current
        if token.kind == "word":
            return self._word_term()
        if token.kind not in {"text", "number", "day", "instant"}:
            raise self.unexpected()
        self.advance()
        if token.kind == "text":
            return Text(token.text[1:-1], token.at)
        if token.kind == "number":
            return Number(float(token.text), token.at)
        if token.kind == "day":
            return Day(read_day(self.source, token), token.at)
        return Instant(read_instant(self.source, token), token.at)

    def _word_term(self) -> Term:
        token = self.current
        word = token.text.upper()
        if word in {"TRUE", "FALSE"}:
            self.advance()
            return Truth(word == "TRUE", token.at)
        if word == "NULL":
            self.advance()
            return Null(token.at)
        if word in PLAIN:
            self.advance()
            return RelativeDay(word, None, token.at)
        if word in COUNTED:
            self.advance()
            self.expect(":")
            if self.current.kind != "number" or not self.current.text.isdigit():
                raise self.unexpected()
            return RelativeDay(word, int(self.advance().text), token.at)
        raise self.unexpected()
