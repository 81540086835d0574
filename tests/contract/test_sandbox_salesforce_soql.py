"""The simulated org answers SOQL as Salesforce does: a table of queries, and their refusals."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simple_salesforce.format import format_soql

from sandbox.running import running_sandbox
from sandbox.world import World
from tests.contract.salesforce_clients import Rest, log_in, simple_salesforce

AGENT = "sam.agent@acme.example"
CASES: tuple[dict[str, Any], ...] = (
    {"Subject": "A: Mail is down", "Priority": "High", "Severity__c": 1, "Due__c": "2026-11-02",
     "Regions__c": "EMEA;APAC", "Critical__c": True, "Origin": "Phone"},
    {"Subject": "B: mail is slow", "Priority": "Medium", "Severity__c": 2.4,
     "Regions__c": "AMER", "Escalation_Time__c": "2026-11-01T12:00:00+02:00"},
    {"Subject": "C: 100% o'clock_\\", "Priority": "Low", "Severity__c": 10, "Status": "Closed",
     "Due__c": "2026-12-24", "Origin": "Email"},
    {"Subject": None, "Priority": "Critical", "Status": "Working", "Regions__c": "EMEA"},
)  # fmt: skip
LETTERS = "ABCD"


@pytest.fixture(scope="module")
def filled() -> Iterator[World]:
    """One org with four Cases, called A to D here, for all queries of this file."""
    started = datetime.now(UTC)  # the org's clock stands still, so TODAY cannot end midway
    with running_sandbox(clock=lambda: started) as world:
        org = world.salesforce
        ids = {each["Name"]: each["Id"] for each in org.records("Account")}
        owners = {"A": ids["Acme"], "B": ids["Globex"], "C": ids["Acme"], "D": None}
        for letter, fields in zip(LETTERS, CASES, strict=True):
            case = org.create("Case", {**fields, "AccountId": owners[letter]}, by=AGENT)
            if letter in "AB":
                org.comment(case, f"first of {letter}")
                org.comment(case, f"second of {letter}", public=True)
        yield world


@pytest.fixture(scope="module")
def client(filled: World) -> Rest:
    """A logged-in client of that org."""
    return log_in(filled)


def letters(world: World, answer: Any) -> str:
    """Return which Cases an answer holds, in its order."""
    places = {each["Id"]: n for n, each in enumerate(world.salesforce.records("Case"))}
    assert "records" in answer, answer
    return "".join(LETTERS[places[each["Id"]]] for each in answer["records"])


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Subject = 'a: MAIL is down'", "A"),
        ("Subject != 'A: Mail is down'", "BCD"),
        ("Subject <> 'A: Mail is down'", "BCD"),
        ("Subject = null", "D"),
        ("Subject = ''", "D"),
        ("Subject != NULL", "ABC"),
        ("Subject LIKE '%MAIL%'", "AB"),
        ("Subject LIKE '_: m%'", "AB"),
        ("Subject LIKE '%100\\%%'", "C"),
        ("Subject LIKE '%k\\_%'", "C"),
        ("Subject LIKE '%\\_%'", "C"),
        ("Subject = 'C: 100% o\\'clock_\\\\'", "C"),
        ("Subject = '\\u0041: Mail is down'", "A"),
        ("Subject > 'b'", "BC"),
        ("Subject < 'b'", "A"),
        ("Priority IN ('High', 'low')", "AC"),
        ("Priority NOT IN ('High', 'Low')", "BD"),
        ("Subject IN (null, 'x')", "D"),
        ("Subject NOT IN ('A: Mail is down')", "BCD"),
        ("Severity__c = 2", "B"),
        ("Severity__c = 2.0", "B"),
        ("Severity__c >= 2", "BC"),
        ("Severity__c < 2", "A"),
        ("Severity__c = 1E1", "C"),
        ("Severity__c != 1", "BCD"),
        ("Severity__c > -5", "ABC"),
        ("Critical__c = true", "A"),
        ("Critical__c = FALSE", "BCD"),
        ("Critical__c != true", "BCD"),
        ("IsClosed = true", "C"),
        ("ClosedDate != null", "C"),
        ("Due__c = 2026-11-02", "A"),
        ("Due__c > 2026-11-02", "C"),
        ("Due__c <= 2026-12-24", "AC"),
        ("Due__c = LAST_N_DAYS:30 OR Due__c > 2000-01-01", "AC"),
        ("Escalation_Time__c = 2026-11-01T10:00:00Z", "B"),
        ("Escalation_Time__c = 2026-11-01T10:00:00.000+0000", "B"),
        ("Escalation_Time__c = 2026-11-01T05:00:00-05:00", "B"),
        ("Escalation_Time__c > 2026-11-01T10:00:00Z", ""),
        ("CreatedDate = TODAY", "ABCD"),
        ("CreatedDate = LAST_N_DAYS:1", "ABCD"),
        ("CreatedDate < TODAY", ""),
        ("CreatedDate > YESTERDAY", "ABCD"),
        ("CreatedDate != TOMORROW", "ABCD"),
        ("CreatedDate = THIS_YEAR AND CreatedDate >= THIS_QUARTER", "ABCD"),
        ("Regions__c INCLUDES ('EMEA')", "AD"),
        ("Regions__c INCLUDES ('EMEA;APAC', 'AMER')", "AB"),
        ("Regions__c EXCLUDES ('EMEA')", "BC"),
        ("Regions__c = 'EMEA;APAC'", "A"),
        ("Regions__c = null", "C"),
        ("Account.Name = 'acme'", "AC"),
        ("Account.Type = 'Strategic' OR Account.Name = null", "BD"),
        ("Account.Name != 'Acme'", "BD"),
        ("Owner.Name = 'Sam Agent' AND Owner.Type = 'User'", "ABCD"),
        ("Account.Owner.Username = 'pat.admin@acme.example'", "ABC"),
        ("NOT Priority = 'High'", "BCD"),
        ("NOT (Priority = 'High' OR Priority = 'Low')", "BD"),
        ("(Priority = 'High' AND Severity__c = 1) OR Priority = 'Low'", "AC"),
        ("Priority = 'High' AND (Severity__c = 1 OR Severity__c = 2)", "A"),
        ("Priority = 'High' AND (NOT Severity__c = 2)", "A"),
        ("Id IN (SELECT ParentId FROM CaseComment WHERE IsPublished = true)", "AB"),
        ("Id NOT IN (SELECT ParentId FROM CaseComment)", "CD"),
        ("Case.Priority = 'High'", "A"),
        ("IsDeleted = false", "ABCD"),
    ],
)
def test_where(filled: World, client: Rest, where: str, found: str) -> None:
    """Each condition finds exactly these Cases."""
    answer = client.query(f"SELECT Id FROM Case WHERE {where} ORDER BY Id")
    assert letters(filled, answer) == found
    assert answer["totalSize"] == len(found)


@pytest.mark.parametrize(
    ("tail", "found"),
    [
        ("ORDER BY Severity__c", "DABC"),
        ("ORDER BY Severity__c ASC NULLS LAST", "ABCD"),
        ("ORDER BY Severity__c DESC NULLS LAST", "CBAD"),
        ("ORDER BY Severity__c DESC NULLS FIRST", "DCBA"),
        ("ORDER BY Priority", "DABC"),
        ("ORDER BY Account.Name NULLS LAST, Id DESC", "CABD"),
        ("ORDER BY Subject DESC NULLS LAST LIMIT 2", "CB"),
        ("ORDER BY Id LIMIT 2 OFFSET 1", "BC"),
        ("ORDER BY Id DESC LIMIT 0", ""),
        ("ORDER BY Id OFFSET 3", "D"),
        ("ORDER BY Id LIMIT 1 FOR VIEW", "A"),
        ("WITH SECURITY_ENFORCED ORDER BY Id LIMIT 1", "A"),
    ],
)
def test_order_limit_offset(filled: World, client: Rest, tail: str, found: str) -> None:
    """Rows come in the asked order; picklists in theirs; nulls first unless told otherwise."""
    answer = client.query(f"select Id from Case {tail}")
    assert letters(filled, answer) == found


def test_records_carry_attributes_parents_and_children(filled: World, client: Rest) -> None:
    """A record prints its wrapper, parents as objects (or null), children as a small result."""
    text = (
        "SELECT Id, Subject, Account.Name, Account.Owner.Name, Owner.Name, Owner.Email, "
        "toLabel(Status), Due__c, Escalation_Time__c, "
        "(SELECT CommentBody, Parent.CaseNumber FROM CaseComments ORDER BY Id DESC LIMIT 1) "
        "FROM Case ORDER BY Id"
    )
    answer = client.query(text)
    first, second, _third, last = answer["records"]
    case_id = first["Id"]
    url = f"/services/data/v66.0/sobjects/Case/{case_id}"
    assert first["attributes"] == {"type": "Case", "url": url}
    assert first["Account"]["attributes"]["type"] == "Account"
    assert first["Account"]["Name"] == "Acme"
    assert first["Account"]["Owner"]["Name"] == "Pat Admin"
    assert first["Owner"]["Email"] == AGENT
    assert first["Owner"]["attributes"]["type"] == "User"
    assert first["Due__c"] == "2026-11-02"
    assert second["Escalation_Time__c"] == "2026-11-01T10:00:00.000+0000"
    comments = first["CaseComments"]
    assert (comments["totalSize"], comments["done"]) == (1, True)
    assert comments["records"][0]["CommentBody"] == "second of A"
    number = filled.salesforce.record(case_id)
    assert comments["records"][0]["Parent"]["CaseNumber"] == number["CaseNumber"]
    assert last["Account"] is None
    assert last["CaseComments"] is None


def test_type_of_prints_by_kind(client: Rest) -> None:
    """TYPEOF prints the fields of the branch that fits."""
    text = "SELECT TYPEOF Owner WHEN User THEN Email, Alias WHEN Group THEN Name END FROM Case"
    owner = client.query(text + " LIMIT 1")["records"][0]["Owner"]
    assert (owner["Email"], owner["Alias"]) == (AGENT, "sagent")


def test_fields_all(client: Rest) -> None:
    """FIELDS(ALL) brings every field of the object and needs a LIMIT."""
    record = client.query("SELECT FIELDS(ALL) FROM Case LIMIT 1")["records"][0]
    described = client.call("GET", "sobjects/Case/describe").json()
    assert set(record) - {"attributes"} == {each["name"] for each in described["fields"]}
    refused = client.query("SELECT FIELDS(ALL) FROM Case")
    assert refused[0]["errorCode"] == "MALFORMED_QUERY"
    standard = client.query("SELECT FIELDS(STANDARD) FROM Case LIMIT 1")["records"][0]
    assert not [name for name in standard if name.endswith("__c")]


def test_aggregates(client: Rest) -> None:
    """Counts and extremes come as AggregateResult, with expr names unless aliased."""
    assert client.query("SELECT COUNT() FROM Case") == {
        "totalSize": 4,
        "done": True,
        "records": [],
    }
    text = (
        "SELECT COUNT(Id), COUNT(Subject) s, MIN(Severity__c), MAX(Severity__c), SUM(Severity__c)"
    )
    (row,) = client.query(f"{text} FROM Case")["records"]
    del row["attributes"]
    assert row == {"expr0": 4, "s": 3, "expr1": 1, "expr2": 10, "expr3": 13}
    (newest,) = client.query("SELECT MAX(SystemModstamp) m FROM Case")["records"]
    assert newest["m"].endswith(".000+0000")
    (empty,) = client.query("SELECT COUNT(Id) n, MAX(Id) m FROM Case WHERE Subject = 'no'")[
        "records"
    ]
    assert (empty["n"], empty["m"]) == (0, None)


def test_group_by(client: Rest) -> None:
    """Groups carry the grouped field; HAVING and ORDER BY work on aggregates."""
    text = "SELECT Account.Name, COUNT(Id) n FROM Case GROUP BY Account.Name"
    rows = client.query(f"{text} ORDER BY COUNT(Id) DESC, Account.Name")["records"]
    assert [(row["Name"], row["n"]) for row in rows] == [("Acme", 2), (None, 1), ("Globex", 1)]
    busy = client.query(f"{text} HAVING COUNT(Id) > 1")["records"]
    assert [row["Name"] for row in busy] == ["Acme"]


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("SELECT Id FRM Case", "MALFORMED_QUERY", "unexpected token: 'FRM'"),
        ("SELECT Id FROM Case WHERE", "MALFORMED_QUERY", "unexpected end"),
        ("SELECT Id FROM Case LIMIT x", "MALFORMED_QUERY", "unexpected token: 'x'"),
        ("SELECT Id FROM Case WHERE Subject = \"x\"", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Case WHERE Subject = 'a\\q'", "MALFORMED_QUERY", "Illegal character"),
        ("SELECT Id FROM Case WHERE Subject = 'a", "MALFORMED_QUERY", "unexpected token"),
        (
            "SELECT Id FROM Case WHERE Subject = 'a' AND Subject = 'b' OR Subject = 'c'",
            "MALFORMED_QUERY",
            "unexpected token: 'OR'",
        ),
        ("SELECT Id, id FROM Case", "MALFORMED_QUERY", "duplicate field selected: id"),
        ("SELECT * FROM Case", "MALFORMED_QUERY", "unexpected token: '*'"),
        ("SELECT Id FROM Foo", "INVALID_TYPE", "sObject type 'Foo' is not supported."),
        ("SELECT Foo FROM Case", "INVALID_FIELD", "ERROR at Row:1:Column:8\nNo such column 'Foo'"),
        ("SELECT Foo.Name FROM Case", "INVALID_FIELD", "Didn't understand relationship 'Foo'"),
        ("SELECT (SELECT Id FROM Foos) FROM Case", "INVALID_TYPE", "FROM part of query call"),
        ("SELECT Id FROM Case WHERE Severity__c = '3'", "INVALID_FIELD",
         "must be of type double and should not be enclosed in quotes"),
        ("SELECT Id FROM Case WHERE Subject = 3", "INVALID_FIELD",
         "must be of type string and should be enclosed in quotes"),
        ("SELECT Id FROM Case WHERE SystemModstamp > '2026-11-01T00:00:00Z'", "INVALID_FIELD",
         "field 'SystemModstamp' must be of type dateTime and should not be enclosed in quotes"),
        ("SELECT Id FROM Case WHERE SystemModstamp > 2026-11-01", "INVALID_FIELD",
         "must be of type dateTime"),
        ("SELECT Id FROM Case WHERE Due__c > 2026-11-01T00:00:00Z", "INVALID_FIELD",
         "must be of type date"),
        ("SELECT Id FROM Case WHERE SystemModstamp > 2026-11-01T00:00:00", "MALFORMED_QUERY",
         "unexpected token"),
        ("SELECT Id FROM Case WHERE SystemModstamp > 2026-11-01T00:00:00 00:00",
         "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Case WHERE Id = 'abc'", "INVALID_QUERY_FILTER_OPERATOR",
         "invalid ID field: abc"),
        ("SELECT Id FROM Case WHERE Id LIKE '500%'", "INVALID_QUERY_FILTER_OPERATOR",
         "invalid operator on id field"),
        ("SELECT Id FROM Case WHERE Description = 'x'", "INVALID_FIELD",
         "field 'Description' can not be filtered in a query call"),
        ("SELECT Id FROM CaseComment WHERE CommentBody LIKE '%x%'", "INVALID_FIELD",
         "can not be filtered"),
        ("SELECT Id FROM Case ORDER BY Description", "MALFORMED_QUERY", "can not be sorted"),
        ("SELECT COUNT(Id) FROM Case GROUP BY CreatedDate", "MALFORMED_QUERY",
         "can not be grouped in a query call"),
        ("SELECT Subject, COUNT(Id) FROM Case", "MALFORMED_QUERY",
         "Field must be grouped or aggregated: Subject"),
        ("SELECT Id FROM Case OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        ("SELECT Id FROM Case LIMIT 1 ALL ROWS", "MALFORMED_QUERY", "ALL ROWS"),
    ],
)  # fmt: skip
def test_refusals(client: Rest, query: str, code: str, text: str) -> None:
    """What Salesforce refuses is refused with its code and words, and a 400."""
    reply = client.call("GET", "query", params={"q": query})
    assert reply.status_code == 400
    (error,) = reply.json()
    assert error["errorCode"] == code
    assert text in error["message"]


def test_ids_compare_in_both_lengths(filled: World, client: Rest) -> None:
    """15 and 18 characters name the same record; the case of 15 matters."""
    long = filled.salesforce.records("Case")[0]["Id"]
    for spelled in (long, long[:15], long.lower()[:15] + long[15:]):
        assert letters(filled, client.query(f"SELECT Id FROM Case WHERE Id = '{spelled}'")) == "A"
    folded = client.query(f"SELECT Id FROM Case WHERE Id = '{long[:15].lower()}'")
    assert folded["totalSize"] == 0


def test_keyset_on_ids(filled: World, client: Rest) -> None:
    """Ids can be compared with < and >, as keyset paging does."""
    second = filled.salesforce.records("Case")[1]["Id"]
    answer = client.query(f"SELECT Id FROM Case WHERE Id > '{second}' ORDER BY Id")
    assert letters(filled, answer) == "CD"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_any_text_survives_quoting(filled: World, client: Rest, text: str) -> None:
    """Whatever text a Case has, simple-salesforce's quoting of it finds that Case."""
    org = filled.salesforce
    made = org.create("Account", {"Name": "x", "AccountNumber": None, "BillingCity": None})
    stored = text.strip()[:20]
    org.update(made, {"Name": f"[{stored}]"})
    name = org.record(made)
    answer = client.query(format_soql("SELECT Name FROM Account WHERE Name = {}", name["Name"]))
    assert name["Name"] in [each["Name"] for each in answer["records"]]
    org.purge(made)


WORDS = r"""
    SELECT Id Name Subject Account.Name Foo COUNT COUNT() MAX( FIELDS(ALL) TYPEOF FROM Case Account
    CaseComments WHERE AND OR NOT IN LIKE INCLUDES = != < >= ( ) , . : ' 'x' '\' \ 1 -2.5e3
    2026-11-01 2026-11-01T00:00:00Z TODAY LAST_N_DAYS:3 null true ORDER BY GROUP HAVING LIMIT OFFSET
    5 NULLS LAST DESC FOR VIEW ALL ROWS SystemModstamp Severity__c END ELSE WHEN
"""


@settings(max_examples=200, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS.split()), max_size=14), start=st.booleans())
def test_any_jumble_is_answered_or_refused(client: Rest, words: list[str], *, start: bool) -> None:
    """No text makes the org fail: it answers, or refuses with a code."""
    text = " ".join(["SELECT Id FROM Case", *words] if start else words)
    reply = client.call("GET", "query", params={"q": text})
    assert reply.status_code in {200, 400}
    if reply.status_code == 400:
        assert reply.json()[0]["errorCode"].isupper()


@settings(max_examples=60, deadline=None)
@given(pattern=st.text("ab%_\\'", max_size=6), text=st.text("ab%_\\'", min_size=1, max_size=6))
def test_like_matches_as_its_wildcards_say(filled: World, pattern: str, text: str) -> None:
    """LIKE agrees with a plain wildcard matcher, for every mix of wildcards and escapes."""
    org = filled.salesforce
    made = org.create("Account", {"Name": text})
    quoted = pattern.replace("\\", "\\\\").replace("'", "\\'")
    found = org.soql(f"SELECT Id FROM Account WHERE Name LIKE '{quoted}' AND Id = '{made}'")
    org.purge(made)
    assert bool(found) is _matches(pattern, text)


def _matches(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_matches(pattern[1:], text[n:]) for n in range(len(text) + 1))
    same = bool(text) and pattern[0] in {"_", text[0]}
    return same and _matches(pattern[1:], text[1:])


def test_simple_salesforce_pages_through_children_and_parents(filled: World) -> None:
    """The library's own query_all sees the same records as plain REST."""
    sf = simple_salesforce(filled)
    assert sf.query_all("SELECT Id FROM Case")["totalSize"] == 4
    rows = list(sf.query_all_iter("SELECT Id, Account.Name FROM Case ORDER BY Id"))
    assert [row["Account"] and row["Account"]["Name"] for row in rows] == [
        "Acme", "Globex", "Acme", None,
    ]  # fmt: skip
