"""Date literals such as TODAY and LAST_N_DAYS:7, as ranges of days."""

from collections.abc import Callable
from datetime import date, timedelta

Range = tuple[date, date]  # first day, and the day after the last


def _months(day: date, count: int) -> date:
    years, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    return date(years, month + 1, 1)


def _days(first: int, after: int) -> Callable[[date], Range]:
    return lambda today: (today + timedelta(first), today + timedelta(after))


def _weeks(first: int, after: int) -> Callable[[date], Range]:
    def span(today: date) -> Range:
        sunday = today - timedelta((today.weekday() + 1) % 7)
        return sunday + timedelta(weeks=first), sunday + timedelta(weeks=after)

    return span


def _month_span(first: int, after: int) -> Callable[[date], Range]:
    return lambda today: (_months(today, first), _months(today, after))


def _quarters(first: int, after: int) -> Callable[[date], Range]:
    def span(today: date) -> Range:
        start = _months(today, -((today.month - 1) % 3))
        return _months(start, 3 * first), _months(start, 3 * after)

    return span


def _years(first: int, after: int) -> Callable[[date], Range]:
    return lambda today: (date(today.year + first, 1, 1), date(today.year + after, 1, 1))


PLAIN: dict[str, Callable[[date], Range]] = {
    "YESTERDAY": _days(-1, 0),
    "TODAY": _days(0, 1),
    "TOMORROW": _days(1, 2),
    "LAST_90_DAYS": _days(-90, 1),
    "NEXT_90_DAYS": _days(1, 91),
    **{
        f"{word}_{unit}": spans(first, first + 1)
        for word, first in (("LAST", -1), ("THIS", 0), ("NEXT", 1))
        for unit, spans in (
            ("WEEK", _weeks),
            ("MONTH", _month_span),
            ("QUARTER", _quarters),
            ("YEAR", _years),
        )
    },
}
COUNTED: dict[str, Callable[[int], Callable[[date], Range]]] = {
    "LAST_N_DAYS": lambda n: _days(-n, 1),
    "NEXT_N_DAYS": lambda n: _days(1, n + 1),
    "N_DAYS_AGO": lambda n: _days(-n, 1 - n),
    "LAST_N_WEEKS": lambda n: _weeks(-n, 0),
    "NEXT_N_WEEKS": lambda n: _weeks(1, n + 1),
    "LAST_N_MONTHS": lambda n: _month_span(-n, 0),
    "NEXT_N_MONTHS": lambda n: _month_span(1, n + 1),
    "LAST_N_QUARTERS": lambda n: _quarters(-n, 0),
    "NEXT_N_QUARTERS": lambda n: _quarters(1, n + 1),
    "LAST_N_YEARS": lambda n: _years(-n, 0),
    "NEXT_N_YEARS": lambda n: _years(1, n + 1),
}


def days_of(name: str, count: int | None, today: date) -> Range:
    """Return the range of days that a date literal stands for."""
    return COUNTED[name](count)(today) if count is not None else PLAIN[name](today)
