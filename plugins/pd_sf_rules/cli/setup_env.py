"""Write `.env` with both connections: asks one thing after the other, shows no secret, overwrites nothing.

The file is readable by its owner only. Give --env-file for another place than `.env` here.
"""

import argparse
import getpass
import json
import sys
from collections.abc import Callable
from pathlib import Path

from pd_sf_rules.cli.env_file import write_new
from pd_sf_rules.cli.printing import print_json, show
from pd_sf_rules.cli.usage import UsageError
from pd_sf_rules.connections import is_loopback_http

HEAD = """\
# Written by `pdsf setup env`. Git ignores it; keep it to yourself. .env.example tells what else can stand here.
"""
NEXT = """\
{path} is written, readable by you only.

Next:
  1. pdsf status --doctor      do both connections work?
  2. pdsf lint --live          do the rules fit your accounts?
  3. make up                   an embedded Airflow on http://127.0.0.1:8080
"""
SALESFORCE_HOST = "https://login.salesforce.com"
PAGERDUTY_HOSTS = {"us": "https://api.pagerduty.com", "eu": "https://api.eu.pagerduty.com"}
TRIES = 3

Extra = dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--env-file", type=Path, default=Path(".env"), metavar="FILE", help="default: .env here"
    )


def run(options: argparse.Namespace) -> int:
    """Ask, and write the file; return 0."""
    path: Path = options.env_file
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists already and is left as it is: edit it, or use --env-file.")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder '{path.parent}'.")
    if not sys.stdin.isatty():
        raise UsageError("this asks questions: run it at a terminal, or copy .env.example.")
    lines = [
        HEAD,
        _line("salesforce_default", "salesforce", *_salesforce()),
        _line("pagerduty_default", "pagerduty", *_pagerduty()),
    ]
    write_new(path, "".join(lines))
    if options.json:
        print_json({"env_file": path.resolve()})
    else:
        show(NEXT.format(path=path).rstrip())
    return 0


def _salesforce() -> tuple[str, str, Extra]:
    """Ask for the Salesforce connection: (login, password, extras)."""
    print("Salesforce (docs/set-up-salesforce.md). Enter takes what stands in brackets.")
    host = _asked("  Login host, better your My Domain", SALESFORCE_HOST, _address)
    user = _asked("  User name of the integration user", "", _needed)
    extra = {"login_url": host, "consumer_key": _asked("  Consumer key of the app", "", _needed)}
    key = _asked("  File of the private key, empty for a client secret", "", _key_file)
    if key:
        return user, "", extra | {"private_key_file_path": key}
    return user, "", extra | {"consumer_secret": _secret("  Consumer secret")}


def _pagerduty() -> tuple[str, str, Extra]:
    """Ask for the PagerDuty connection: (login, password, extras)."""
    print("PagerDuty (docs/set-up-pagerduty.md). What you type as a secret is not shown.")
    region = _asked("  Region of the account, us or eu", "us", _region)
    extra = {"base_url": PAGERDUTY_HOSTS.get(region, region)} if region != "us" else {}
    key = _secret("  REST API key, empty for an app (scoped OAuth)", optional=True)
    if not key:
        extra["client_id"] = _asked("  Client id of the app", "", _needed)
        extra["client_secret"] = _secret("  Client secret")
        extra["subdomain"] = _asked("  Subdomain of the account", "", _needed)
        extra["region"] = region if region in PAGERDUTY_HOSTS else "us"
    extra["from_email"] = _asked("  E-mail of the integration user", "", _email)
    alerts = _secret(
        "  Routing key for alerts about the sync itself, empty for none", optional=True
    )
    return "", key, extra | ({"routing_key": alerts} if alerts else {})


def _line(conn_id: str, kind: str, login: str, password: str, extra: Extra) -> str:
    told = {"conn_type": kind, "login": login, "password": password, "extra": extra}
    value = json.dumps({name: one for name, one in told.items() if one})
    # A single quote would end the value for other readers of the file; JSON can spell it otherwise.
    quoted = value.replace("'", "\\u0027")
    return f"AIRFLOW_CONN_{conn_id.upper()}='{quoted}'\n"


def _asked(question: str, default: str, check: Callable[[str], str]) -> str:
    """Ask until the answer is right; `check` returns it as it is kept, or raises ValueError with a sentence."""
    prompt = f"{question} [{default}]: " if default else f"{question}: "
    for _ in range(TRIES):
        try:
            return check(input(prompt).strip() or default)
        except ValueError as wrong:
            print(f"    {wrong}")
        except EOFError:
            break
    raise UsageError(f"no usable answer to '{question.strip()}'; nothing was written.")


def _secret(question: str, *, optional: bool = False) -> str:
    """Ask without showing what is typed."""
    for _ in range(TRIES):
        try:
            given = getpass.getpass(f"{question} (not shown): ").strip()
        except EOFError:
            break
        if (given or optional) and given.isprintable():
            return given
        print("    It is needed, in plain characters.")
    raise UsageError(f"no usable answer to '{question.strip()}'; nothing was written.")


def _needed(text: str) -> str:
    if not text:
        raise ValueError("It is needed.")
    return text


def _address(text: str) -> str:
    if not text.startswith("https://") and not is_loopback_http(text):
        raise ValueError("It begins with https://")
    return text.rstrip("/")


def _email(text: str) -> str:
    if "@" not in text:
        raise ValueError("It is an e-mail address of an active PagerDuty user.")
    return text


def _region(text: str) -> str:
    if is_loopback_http(text):  # the sandbox
        return text.rstrip("/")
    if text.lower() not in PAGERDUTY_HOSTS:
        raise ValueError("It is us or eu.")
    return text.lower()


def _key_file(text: str) -> str:
    if not text:
        return ""
    path = Path(text).expanduser()
    try:
        first = path.read_text(encoding="ascii").splitlines()[:1]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"'{text}' cannot be read ({type(error).__name__}).") from None
    if not first or "PRIVATE KEY" not in first[0]:
        raise ValueError(f"'{text}' is no private key: it begins with -----BEGIN PRIVATE KEY-----")
    return str(path.resolve())
