"""A recursive-descent parser for SOQL."""

from sandbox.salesforce.errors import ApiError, malformed_query
from sandbox.salesforce.soql.conditions import ConditionParser
from sandbox.salesforce.soql.lexer import tokens_of, unexpected
from sandbox.salesforce.soql.syntax import (
    Aggregate,
    Aliased,
    AllFields,
    Condition,
    Order,
    Path,
    Query,
    SelectItem,
    SubQuery,
    TypeOf,
)

CLAUSES = (
    "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR", "ALL", "WITH", "USING", "FROM",
    "NULLS", "ASC", "DESC",
)  # fmt: skip
MAX_LENGTH = 100_000
MAX_OFFSET = 2000


def parse(text: str) -> Query:
    """Return the syntax tree of a query. Raises ApiError in Salesforce's words."""
    if len(text) > MAX_LENGTH:
        raise ApiError(400, "QUERY_TOO_COMPLICATED", "Query is either selecting too many fields")
    parser = QueryParser(text, tokens_of(text))
    query = parser.query()
    parser.finish()
    return query


def parse_condition(text: str) -> Condition:
    """Return the syntax tree of what may stand after WHERE."""
    parser = QueryParser(text, tokens_of(text))
    condition = parser.condition()
    parser.finish()
    return condition


class QueryParser(ConditionParser):
    """Parses whole queries; conditions and terms come from ConditionParser."""

    def query(self) -> Query:
        """Parse ``SELECT ... FROM ...`` with all its clauses."""
        self.word("SELECT")
        select = [self._select_item()]
        while self.sign(","):
            select.append(self._select_item())
        self.word("FROM")
        at = self.current.at
        name = self.name()
        while self.sign("."):  # the parent's name may stand before a child relationship
            name = self.name()
        alias = self._object_alias()
        self._skip_scope()
        where = self.condition() if self.accept("WHERE") else None
        self._skip_security()
        group_by, having = self._grouping()
        order_by = self._ordering()
        limit = self._whole_number() if self.accept("LIMIT") else None
        offset = self._offset()
        return Query(
            text=self.source,
            select=tuple(select),
            object=name,
            at=at,
            where=where,
            group_by=group_by,
            having=having,
            order_by=order_by,
            limit=limit,
            offset=offset,
            all_rows=self._row_scope(),
            alias=alias,
        )

    def _select_item(self) -> SelectItem:
        if self.sign("("):
            query = self.query()
            self.expect(")")
            return SubQuery(query)
        if self.current.is_word("TYPEOF"):
            return self._type_of()
        if self.current.is_word("FIELDS") and self.following.text == "(":
            at = self.advance().at
            self.expect("(")
            kind = self.name().upper()
            if kind not in {"ALL", "STANDARD", "CUSTOM"}:
                raise self.unexpected()
            self.expect(")")
            return AllFields(kind, at)
        item = self.operand()
        alias_at = self.current
        alias = self._alias()
        if alias and not (self.current.is_word("FROM") or self.current.text == ","):
            raise unexpected(self.source, alias_at.at, alias)
        if isinstance(item, Aggregate):
            return Aggregate(item.function, item.path, alias, item.at) if alias else item
        return Aliased(item, alias) if alias else item

    def _alias(self) -> str | None:
        if self.current.kind == "word" and not self.current.is_word("FROM"):
            return self.name()
        return None

    def _object_alias(self) -> str | None:
        self.accept("AS")
        if self.current.kind == "word" and not self.current.is_word(*CLAUSES):
            return self.name()
        return None

    def _type_of(self) -> TypeOf:
        self.word("TYPEOF")
        path = self.path()
        branches: list[tuple[str, tuple[Path, ...]]] = []
        while self.accept("WHEN"):
            name = self.name()
            self.word("THEN")
            branches.append((name, self._paths()))
        otherwise = self._paths() if self.accept("ELSE") else ()
        self.word("END")
        return TypeOf(path, tuple(branches), otherwise)

    def _paths(self) -> tuple[Path, ...]:
        paths = [self.path()]
        while self.sign(","):
            paths.append(self.path())
        return tuple(paths)

    def _grouping(self) -> tuple[tuple[Path, ...], Condition | None]:
        if not self.accept("GROUP"):
            return (), None
        self.word("BY")
        paths = self._paths()
        return paths, self.condition() if self.accept("HAVING") else None

    def _ordering(self) -> tuple[Order, ...]:
        if not self.accept("ORDER"):
            return ()
        self.word("BY")
        orders = [self._order()]
        while self.sign(","):
            orders.append(self._order())
        return tuple(orders)

    def _order(self) -> Order:
        key = self.operand()
        descending = self.accept("DESC")
        if not descending:
            self.accept("ASC")
        nulls_last = False
        if self.accept("NULLS"):
            nulls_last = self.accept("LAST")
            if not nulls_last:
                self.word("FIRST")
        return Order(key, descending, nulls_last)

    def _offset(self) -> int:
        if not self.accept("OFFSET"):
            return 0
        offset = self._whole_number()
        if offset > MAX_OFFSET:
            text = f"Maximum SOQL offset allowed is {MAX_OFFSET}"
            raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", text)
        return offset

    def _whole_number(self) -> int:
        if self.current.kind != "number" or not self.current.text.isdigit():
            raise self.unexpected()
        return int(self.advance().text)

    def _skip_scope(self) -> None:
        if self.accept("USING"):
            self.word("SCOPE")
            self.name()

    def _skip_security(self) -> None:
        if self.accept("WITH") and not (
            self.accept("SECURITY_ENFORCED")
            or self.accept("USER_MODE")
            or self.accept("SYSTEM_MODE")
        ):
            raise self.unexpected()

    def _row_scope(self) -> bool:
        if self.accept("FOR"):
            if not (self.accept("VIEW") or self.accept("REFERENCE") or self.accept("UPDATE")):
                raise self.unexpected()
            return False
        if self.accept("ALL"):
            self.word("ROWS")
            raise malformed_query("ALL ROWS not allowed in this context")
        return False
