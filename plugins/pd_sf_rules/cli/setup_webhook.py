"""Subscribe this Airflow to PagerDuty's webhooks, check that they arrive, change the secret.

Without --check, --rotate, --retire or --enable a subscription is made for --url. PagerDuty tells its secret once:
say where it goes (--write-env, --write-file or --show-secret).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pd_sf_rules.cli import env_file
from pd_sf_rules.cli.printing import print_json, show
from pd_sf_rules.cli.usage import UsageError

if TYPE_CHECKING:
    from pd_sf_rules.pipeline.checks import Check
    from pd_sf_rules.settings import Integration
    from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
    from pd_sf_rules.systems.pagerduty.subscriptions import Subscription

SOME_FAILED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--integration", default="default", metavar="N", help="(default)")
    parser.add_argument(
        "--url", default="", help="Airflow's address as PagerDuty reaches it: https://…"
    )
    parser.add_argument(
        "--service", default="", metavar="NAME", help="only this service's incidents"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check", action="store_true", help="look, and send a ping through all of it"
    )
    what.add_argument(
        "--rotate", action="store_true", help="another subscription with another secret"
    )
    what.add_argument(
        "--retire", action="store_true", help="end those that a newer one has replaced"
    )
    what.add_argument("--enable", action="store_true", help="switch on what was switched off")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--write-env", type=Path, metavar="FILE", help="into the connection in FILE")
    where.add_argument("--write-file", type=Path, metavar="FILE", help="into a new file (0600)")
    where.add_argument("--show-secret", action="store_true", help="print it")


def run(options: argparse.Namespace) -> int:
    """Do what the options say; return 0, or 3 when a check does not hold."""
    from pd_sf_rules.cli.connecting import connect  # noqa: PLC0415
    from pd_sf_rules.settings import load_integration  # noqa: PLC0415
    from pd_sf_rules.systems.pagerduty.client import PagerDutyClient  # noqa: PLC0415

    integration = load_integration(options.integration)
    client = PagerDutyClient(connect(integration.pagerduty_conn_id))
    try:
        if options.check:
            return _check(options, integration, client)
        if options.retire or options.enable:
            return _tidy(options, integration, client)
        return _subscribe(options, integration, client)
    finally:
        client.close()


def _subscribe(
    options: argparse.Namespace, integration: "Integration", client: "PagerDutyClient"
) -> int:
    from pd_sf_rules.pipeline.webhooks import set_up  # noqa: PLC0415
    from pd_sf_rules.systems.pagerduty.subscriptions import delete_subscriptions  # noqa: PLC0415

    there = _known(options, integration, client)
    if there and not options.rotate:
        raise UsageError(
            f"{there[-1].url} is subscribed already ({there[-1].id}). --check looks whether it works; if its secret is "
            "lost, --rotate makes another."
        )
    if options.rotate and not there:
        raise UsageError(
            "there is no subscription whose secret could be changed; give --url alone."
        )
    url = there[-1].url if there else _address(options, integration)
    _check_place(options, integration)
    like = there[-1] if there else None
    made = set_up(client, integration.name, url, service=options.service, like=like)
    try:
        _keep(options, integration, made.secret)
    except BaseException:
        delete_subscriptions(client, [made.subscription.id])
        raise
    secret = {"secret": made.secret} if options.show_secret else {}
    if options.json:
        print_json({"subscription": made.subscription, "url": url, **secret})
    else:
        show("\n".join(_next_steps(options, integration, made.subscription, made.secret)))
    return 0


def _known(
    options: argparse.Namespace, integration: "Integration", client: "PagerDutyClient"
) -> "list[Subscription]":
    """Return the subscriptions meant: those to --url, else all of this integration, if they share one address."""
    from pd_sf_rules.pipeline.webhooks import ours  # noqa: PLC0415

    found = ours(client, integration.name, _address(options, integration) if options.url else "")
    urls = sorted({one.url for one in found})
    if len(urls) > 1:
        raise UsageError(
            f"there are subscriptions to several addresses; say which by --url: {', '.join(urls)}."
        )
    return found


def _address(options: argparse.Namespace, integration: "Integration") -> str:
    from pd_sf_rules.pipeline.webhooks import address  # noqa: PLC0415

    if not options.url:
        raise UsageError(
            "give Airflow's address by --url https://… (or --check, --rotate, --retire, --enable)."
        )
    return address(options.url, integration.name)


def _check_place(options: argparse.Namespace, integration: "Integration") -> None:
    """Raise UsageError before anything is made whose secret could not be kept."""
    if options.write_env:
        env_file.check_connection_line(options.write_env, integration.pagerduty_conn_id)
    elif options.write_file:
        if options.write_file.exists():
            raise UsageError(f"{options.write_file} exists already: name another place.")
    elif not options.show_secret:
        raise UsageError(
            "say where the secret goes: --write-env FILE, --write-file FILE or --show-secret."
        )


def _keep(options: argparse.Namespace, integration: "Integration", secret: str) -> None:
    if options.write_env:
        env_file.add_webhook_secret(options.write_env, integration.pagerduty_conn_id, secret)
    elif options.write_file:
        env_file.write_new(options.write_file, f"{secret}\n")


def _next_steps(
    options: argparse.Namespace, integration: "Integration", made: "Subscription", secret: str
) -> list[str]:
    conn_id = integration.pagerduty_conn_id
    beside = " in front of the one that is there, with a comma between" if options.rotate else ""
    steps = [
        f"{made.id} tells {made.url} of {len(made.events)} kinds of events ({made.watched}).",
        "",
        "Next:",
    ]
    if options.write_env:
        steps.append(
            f"  1. Start Airflow again: its connection {conn_id} in {options.write_env} has the secret now."
        )
    else:
        place = f"the content of {options.write_file}" if options.write_file else secret
        steps.append(
            f"  1. Put {place} into the extra `webhook_secret` of connection {conn_id}{beside}."
        )
    steps.append("  2. pdsf setup webhook --check")
    if options.rotate:
        steps.append(
            "  3. pdsf setup webhook --retire, and take the old secret out of the connection."
        )
    return steps


def _check(
    options: argparse.Namespace, integration: "Integration", client: "PagerDutyClient"
) -> int:
    from pd_sf_rules.cli.connecting import connect, open_ledger_here  # noqa: PLC0415
    from pd_sf_rules.pipeline.webhooks import tried  # noqa: PLC0415 - database imports are slow
    from pd_sf_rules.systems.pagerduty.webhooks import webhook_secrets  # noqa: PLC0415

    found = _known(options, integration, client)
    has_secret = bool(webhook_secrets(connect(integration.pagerduty_conn_id)))
    ledger = open_ledger_here()
    try:
        told = tried(ledger, integration, client, found, has_secret=has_secret)
    finally:
        ledger.close()
    holds = all(one.ok for one in told)
    if options.json:
        print_json({"ok": holds, "checks": told, "subscriptions": [_as_json(one) for one in found]})
    else:
        show("\n".join(_line(one) for one in told))
    return 0 if holds else SOME_FAILED


def _tidy(
    options: argparse.Namespace, integration: "Integration", client: "PagerDutyClient"
) -> int:
    from pd_sf_rules.pipeline.webhooks import replaced  # noqa: PLC0415
    from pd_sf_rules.systems.pagerduty import subscriptions  # noqa: PLC0415

    found = _known(options, integration, client)
    if options.retire:
        done, word = replaced(found), "ended"
        subscriptions.delete_subscriptions(client, [one.id for one in done])
    else:
        done, word = (
            [one for one in found if one.temporarily_disabled or not one.active],
            "on again",
        )
        for one in done:
            subscriptions.enable(client, one)
    if options.json:
        print_json({word.replace(" ", "_"): [one.id for one in done], "left": len(found)})
    else:
        show("\n".join(f"{one.id}: {word}." for one in done) or "Nothing to do.")
    return 0


def _as_json(one: "Subscription") -> dict[str, Any]:
    return {
        "id": one.id,
        "url": one.url,
        "active": one.active,
        "temporarily_disabled": one.temporarily_disabled,
        "watched": str(one.watched),
        "missing_events": one.missing,
    }


def _line(check: "Check") -> str:
    return f"{'ok    ' if check.ok else 'BROKEN'} {check.name}: {check.said}"
