"""Why something happened, or did not: every rule that judged, each condition, what was done and answered.

Examples:
  pdsf explain --record 5003X00002AbCdEQAV       an id of 15 or 18 characters, or the record's address
  pdsf explain --record 00001027                 a Case number, where a rule names CaseNumber
  pdsf explain --incident Q1ABCDEF2GHIJK         an incident's id, number or address
  pdsf explain --event EVENT --rules             one event, with the text of every rule as it read then

It asks the ledger alone, so it works months later and when both services are down.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pd_sf_rules.cli.connecting import open_ledger_here
from pd_sf_rules.cli.instants import HELP, instant
from pd_sf_rules.cli.printing import clock, indent, print_json, show, shown

if TYPE_CHECKING:
    from pd_sf_rules.pipeline.explain import Chapter, Done, Story


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--record", metavar="ID", help="a record: its id, address or number")
    which.add_argument("--incident", metavar="ID", help="an incident: its id, address or number")
    which.add_argument("--event", metavar="ID", help="one event of the ledger")
    parser.add_argument("--since", type=instant, metavar="T", help=HELP)
    parser.add_argument("--until", type=instant, metavar="T", help=HELP)
    parser.add_argument(
        "--limit", type=int, default=20, metavar="N", help="the newest N events (default: 20)"
    )
    parser.add_argument(
        "--rules", action="store_true", help="show the text of each rule as it read then"
    )


def run(options: argparse.Namespace) -> int:
    """Explain; return 0. Raises ConfigError when the ledger knows nothing of it."""
    from pd_sf_rules.pipeline.explain import explain  # noqa: PLC0415 - database imports are slow

    kind = next(name for name in ("record", "incident", "event") if getattr(options, name))
    ledger = open_ledger_here()
    try:
        story = explain(
            ledger,
            kind,  # type: ignore[arg-type]  # one of the three words
            getattr(options, kind),
            since=options.since,
            until=options.until,
            limit=max(options.limit, 1),
        )
    finally:
        ledger.close()
    if options.json:
        print_json(as_json(story))
    else:
        show("\n".join(_told(story, every_rule=options.rules)))
    return 0


def as_json(story: "Story") -> dict[str, Any]:
    """Return the story as one JSON object."""
    return {
        "kind": story.kind,
        "id": story.id,
        "more": story.more,
        "links": [link_json(one.link) | {"removed_at": one.removed_at} for one in story.links],
        "events": [_chapter_json(one) for one in story.chapters],
        "rules": [
            {"ruleset_version": version, "rule": rule, "text": text}
            for (version, rule), text in story.rules.items()
        ],
    }


def link_json(link: Any) -> dict[str, Any]:
    """Return a link as scripts read it."""
    return {
        "integration": link.integration,
        "object": link.object,
        "record": link.record_id,
        "incident": link.incident_id,
        "ruleset": link.ruleset,
        "created_at": link.created_at,
    }


def _chapter_json(chapter: "Chapter") -> dict[str, Any]:
    event = chapter.event
    facts = ("id", "integration", "source", "type", "occurred_at", "agent", "object", "state")
    times = ("echo_of", "run_id", "received_at", "evaluated_at")
    return {
        **{name: getattr(event, name) for name in facts + times},
        "record": event.record_id,
        "incident": event.incident_id,
        "values": {"record": event.record, "incident": event.incident},
        "changes": chapter.changes,
        "verdicts": list(event.verdicts),
        "actions": [_done_json(one) for one in chapter.done],
    }


def _done_json(done: "Done") -> dict[str, Any]:
    action = done.action
    facts = (
        "id", "ruleset", "ruleset_version", "rule", "kind", "params", "mode", "state", "target",
        "attempt", "message", "error_kind", "request", "answer", "run_id", "created_at",
        "updated_at", "retry_at", "sent_at",
    )  # fmt: skip
    return {
        **{name: getattr(action, name) for name in facts},
        "attempts": done.attempts,
        "reflected_by": done.reflected_by,
    }


def _told(story: "Story", *, every_rule: bool) -> Iterator[str]:
    if story.kind != "event":
        yield f"{story.kind.capitalize()} {story.id}"
    for one in story.links:
        by = f"by ruleset '{one.link.ruleset}'" if one.link.ruleset else "by hand or rebuilt"
        gone = f", removed {clock(one.removed_at)}" if one.removed_at else ""
        pair = f"{one.link.object} {one.link.record_id} and incident {one.link.incident_id}"
        yield f"  linked: {pair}, {clock(one.link.created_at)}, {by}{gone}"
    if story.more:
        yield "  (older events are left out; --limit shows more)"
    if not story.chapters:
        yield f"  It was last seen {clock(story.last_seen)}, and nothing happened since that rules judge."
    for chapter in story.chapters:
        yield ""
        yield from _event_told(chapter)
        yield from _verdicts_told(chapter)
    yield from _rules_told(story, every_rule=every_rule)


def _event_told(chapter: "Chapter") -> Iterator[str]:
    event = chapter.event
    about = (
        f"{event.object} {event.record_id}" if event.record_id else f"incident {event.incident_id}"
    )
    by = f" by {event.agent}" if event.agent else ""
    yield f"{clock(event.occurred_at)}  {event.source} {event.type}{by}: {about}"
    yield f"  event {event.id}, seen {clock(event.received_at)}, run {event.run_id or '-'}"
    known = [one for one in chapter.changes if one.known]
    for one in known:
        yield f"  {one.field}: {shown(one.old)} -> {shown(one.new)}"
    if not known and len(chapter.changes) > 0:
        yield "  seen for the first time: nothing about it counts as changed"
    if event.state == "echo":
        of = f" (action {event.echo_of})" if event.echo_of else ""
        yield f"  This is our own write coming back{of}: no rule judged it."
    elif event.state == "baseline":
        yield "  Seen at the first start: it became the baseline, and no rule judged it."
    elif event.state == "pending":
        yield "  It waits to be judged: the next sync does it."


def _verdicts_told(chapter: "Chapter") -> Iterator[str]:
    told: set[str] = set()
    event = chapter.event
    if event.state == "evaluated" and not event.verdicts and not chapter.done:
        yield "  No rule in force was for this kind of event, or (at log level error) none matched."
    for verdict in event.verdicts:
        said = "matched" if verdict["matched"] else "did not match"
        name = f"{verdict['ruleset']} / {verdict['rule']}"
        shadow = ", shadow" if verdict["mode"] == "shadow" else ""
        yield f"  rule {name} (version {verdict['ruleset_version']}{shadow}) {said}: {verdict['reason']}"
        yield from _conditions_told(verdict.get("conditions") or ())
        mine = (verdict["ruleset"], verdict["rule"], verdict["matched"])
        for done in chapter.done:
            of = (done.action.ruleset, done.action.rule, True)
            if of == mine and done.action.id not in told:
                told.add(done.action.id)
                yield from _done_told(done)
    for done in chapter.done:
        if done.action.id not in told:
            yield f"  {done.action.ruleset} / {done.action.rule}"
            yield from _done_told(done)


def _conditions_told(conditions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in conditions:
        mark = "x" if one["held"] else " "
        expected = "" if one["expected"] is None else f" {shown(one['expected'])}"
        old = (
            f", was {shown(one['old'])}"
            if one["old"] != one["value"] and one["old"] is not None
            else ""
        )
        note = f" ({one['note']})" if one["note"] else ""
        yield f"    [{mark}] {one['field']} {one['operation']}{expected}: is {shown(one['value'])}{old}{note}"


def _done_told(done: "Done") -> Iterator[str]:
    action = done.action
    target = f" -> {action.target}" if action.target else ""
    stands = "would have been done (shadow)" if action.mode == "shadow" else action.state
    yield f"    {action.kind}: {stands}{target}  (action {action.id})"
    for one in done.attempts:
        words = f": {one.message}" if one.message else ""
        sent = f"sent {clock(one.sent_at)}, " if one.sent_at else ""
        state = "to be tried again" if one.state == "pending" else one.state
        yield f"      attempt {one.attempt}: {sent}{state} {clock(one.ended_at)}{words}"
        if one.request:
            yield f"        request: {_short(one.request)}"
        if one.answer:
            yield f"        answer: {_short(one.answer)}"
    if not done.attempts and action.message:
        yield f"      {action.message}"
    if action.state == "pending":
        yield f"      next try {clock(action.retry_at) if action.retry_at else 'at the next sync'}"
    for event_id in done.reflected_by:
        yield f"      came back to us as event {event_id}"


def _short(value: Any) -> str:
    import json  # noqa: PLC0415 - one use

    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else text[:399] + "…"


def _rules_told(story: "Story", *, every_rule: bool) -> Iterator[str]:
    from pd_sf_rules.rules.transcript import heads  # noqa: PLC0415

    wanted = dict.fromkeys(
        (v.ruleset, v.ruleset_version, v.rule)
        for one in story.chapters
        for v in heads(one.event.verdicts)
        if every_rule or v.matched
    )
    if wanted:
        yield ""
        yield (
            "The rules as they read then" + ("" if every_rule else " (of those that matched)") + ":"
        )
    for ruleset, version, rule in wanted:
        text = story.rules.get((version, rule))
        yield f"  {ruleset}, version {version}"
        yield indent(text or f"(the text of '{rule}' is not in the ledger any more)", 4)
