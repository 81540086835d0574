"""Set the two services up: `.env`, the key pair for Salesforce's JWT bearer login, PagerDuty's webhook.

Examples:
  pdsf setup env                                     ask for both connections, and write .env (0600)
  pdsf setup webhook --url https://airflow.example.com --write-env .env       subscribe; the secret goes into .env
  pdsf setup webhook --url https://airflow.example.com --write-file secret    ... into a file of its own (0600)
  pdsf setup webhook --check                         is it there, is it on, and does a ping arrive in the ledger?
  pdsf setup webhook --rotate --write-env .env       another secret, beside the one in force
  pdsf setup webhook --retire                        end the subscriptions that a newer one has replaced
  pdsf setup webhook --enable                        on again, after PagerDuty has switched it off
  pdsf setup keypair --out keys                      keys/salesforce.key (0600) and keys/salesforce.crt

PagerDuty tells the secret of a subscription once, when it is made. It is printed nowhere unless --show-secret asks.
"""

import argparse

from pd_sf_rules.cli import setup_env, setup_keypair, setup_webhook


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the things that can be set up, and their options."""
    things = parser.add_subparsers(required=True, metavar="WHAT", dest="what")
    for name, module in (
        ("webhook", setup_webhook),
        ("keypair", setup_keypair),
        ("env", setup_env),
    ):
        thing = things.add_parser(
            name,
            help=(module.__doc__ or "").splitlines()[0],
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for option, text in (("--debug", "show tracebacks"), ("--json", "one JSON object")):
            thing.add_argument(option, action="store_true", default=argparse.SUPPRESS, help=text)
        module.add_arguments(thing)
        thing.set_defaults(set_up=module.run)


def run(options: argparse.Namespace) -> int:
    """Set it up; return 0, or 3 when a check does not hold."""
    code: int = options.set_up(options)
    return code
