"""Which record and which incident belong together.

Examples:
  pdsf links                                            every link in force
  pdsf links --record 5003X00002AbCdEQAV                those of one record, removed ones too
  pdsf links add 5003X00002AbCdEQAV Q1ABCDEF2GHIJK      join two by hand
  pdsf links remove 5003X00002AbCdEQAV Q1ABCDEF2GHIJK   part them
  pdsf links rebuild --dry-run                          find the pairs again after the ledger was lost

`rebuild` reads the keys of open incidents and the fields into which rules write an incident's id or address.
It shows what it found first; at a terminal it then asks, in a script or with --yes it goes on.
"""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pd_sf_rules.cli import confirming
from pd_sf_rules.cli.connecting import open_ledger_here
from pd_sf_rules.cli.explain import link_json
from pd_sf_rules.cli.printing import clock, print_json, show, table
from pd_sf_rules.cli.usage import UsageError

if TYPE_CHECKING:
    from pd_sf_rules.ledger import Ledger
    from pd_sf_rules.ledger.links import PastLink
    from pd_sf_rules.pipeline.relink import Found
    from pd_sf_rules.pipeline.run import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "what", nargs="?", choices=["list", "add", "remove", "rebuild"], default="list"
    )
    parser.add_argument("pair", nargs="*", metavar="ID", help="for add and remove: RECORD INCIDENT")
    parser.add_argument("--record", metavar="ID", help="the record")
    parser.add_argument("--incident", metavar="ID", help="the incident")
    parser.add_argument("--object", default="", metavar="NAME", help="for add: the record's object")
    parser.add_argument("--integration", metavar="N", help="list: only this one; else: default")
    parser.add_argument(
        "--unchecked", action="store_true", help="for add: do not look whether the two exist"
    )
    confirming.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List, add, remove or rebuild links; return 0."""

    record, incident = _pair(options)
    ledger = open_ledger_here()
    try:
        if options.what == "list":
            return _list(ledger, options, record, incident)
        with _opened(ledger, options.integration or "default") as opened:
            if options.what == "rebuild":
                return _rebuild(opened, options)
            return _change(opened, options, record, incident)
    finally:
        ledger.close()


def _pair(options: argparse.Namespace) -> tuple[str, str]:
    """Return record and incident as given, by option or by place."""
    if options.pair and (options.what not in {"add", "remove"} or len(options.pair) != 2):
        raise UsageError("write `pdsf links add RECORD INCIDENT`, or `remove` likewise.")
    record, incident = options.pair or (options.record or "", options.incident or "")
    if options.what in {"add", "remove"} and not (record and incident):
        raise UsageError(f"write `pdsf links {options.what} RECORD INCIDENT`.")
    return record, incident


def _opened(ledger: "Ledger", integration: str) -> "Run":
    from pd_sf_rules.cli.connecting import connect  # noqa: PLC0415
    from pd_sf_rules.pipeline.opening import open_run  # noqa: PLC0415
    from pd_sf_rules.settings import load_integration  # noqa: PLC0415

    return open_run(load_integration(integration), ledger, connect=connect)


def _list(ledger: "Ledger", options: argparse.Namespace, record: str, incident: str) -> int:
    from pd_sf_rules.ledger import links  # noqa: PLC0415
    from pd_sf_rules.pipeline.identifiers import find_incident, find_record  # noqa: PLC0415

    with ledger.read() as c:
        found = links.find_links(
            c,
            integration=options.integration,
            record_ids=[find_record(c, record)] if record else (),
            incident_ids=[find_incident(c, incident)] if incident else (),
        )
    if not record and not incident:
        found = [one for one in found if one.removed_at is None]
    if options.json:
        told = [link_json(one.link) | {"removed_at": one.removed_at} for one in found]
        print_json({"links": told})
    else:
        show(_table(found))
    return 0


def _table(found: Sequence["PastLink"]) -> str:
    if not found:
        return "No links."
    rows = [
        (
            one.link.integration,
            one.link.object,
            one.link.record_id,
            one.link.incident_id,
            one.link.ruleset or "(by hand or rebuilt)",
            clock(one.link.created_at),
            f"removed {clock(one.removed_at)}" if one.removed_at else "in force",
        )
        for one in found
    ]
    return table(("integration", "object", "record", "incident", "made by", "since", "state"), rows)


def _change(run: "Run", options: argparse.Namespace, record: str, incident: str) -> int:
    from pd_sf_rules.pipeline.identifiers import find_incident  # noqa: PLC0415
    from pd_sf_rules.pipeline.relink import add_by_hand, remove_by_hand  # noqa: PLC0415

    with run.ledger.read() as c:
        incident = find_incident(c, incident)
    if options.what == "remove":
        link, changed, word = remove_by_hand(run, record, incident), True, "parted"
    else:
        link, changed = add_by_hand(
            run, record, incident, object_name=options.object, unchecked=options.unchecked
        )
        word = "linked" if changed else "linked already"
    if options.json:
        print_json({"link": link_json(link), "changed": changed})
    else:
        show(f"{link.object} {link.record_id} and incident {link.incident_id}: {word}.")
    return 0


def _rebuild(run: "Run", options: argparse.Namespace) -> int:
    from pd_sf_rules.pipeline.relink import find_links, write_links  # noqa: PLC0415

    found = find_links(run)
    fresh = [one for one in found if not one.known]
    if not options.json:
        show("\n".join(_found_told(found, len(fresh))))
    added = 0
    if fresh and confirming.confirmed(options, f"Add {len(fresh)} link(s)?"):
        added = write_links(run, found)
    if options.json:
        print_json(
            {"dry_run": options.dry_run, "found": [_found_json(f) for f in found], "added": added}
        )
    elif added:
        show(f"{added} added.")
    return 0


def _found_json(found: "Found") -> dict[str, Any]:
    return {**link_json(found.link), "found_by": found.how, "known": found.known}


def _found_told(found: Sequence["Found"], fresh: int) -> Iterator[str]:
    yield f"{len(found)} pair(s) found in both services, {fresh} of them not in the ledger."
    if found:
        rows = [
            (
                f.link.object,
                f.link.record_id,
                f.link.incident_id,
                f.how,
                "known" if f.known else "new",
            )
            for f in found
        ]
        yield table(("object", "record", "incident", "found by", ""), rows)
