"""The compose file as a container engine reads it: variables filled in, then command and environment by service."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Service:
    """What one service runs: the words of its command, and its environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    healthcheck: tuple[str, ...]


def read_services(path: Path, variables: Mapping[str, str]) -> dict[str, Service]:
    """Return every service by name; KeyError, with the file's own words, names a required variable that is missing."""
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        name: Service(
            name,
            tuple(fill_in(word, variables) for word in service.get("command", ())),
            {k: fill_in(str(v), variables) for k, v in service.get("environment", {}).items()},
            tuple(
                fill_in(word, variables) for word in service.get("healthcheck", {}).get("test", ())
            ),
        )
        for name, service in loaded["services"].items()
    }


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$$`, `${NAME}`, `${NAME:-default}` and `${NAME:?what to do}`; defaults may hold variables themselves."""
    done, rest = "", text
    while "$" in rest:
        before, rest = rest.split("$", 1)
        done += before
        if rest.startswith("$"):
            done, rest = done + "$", rest[1:]
        elif rest.startswith("{"):
            inside, rest = _braced(rest)
            done += _value(inside, variables)
        else:
            done += "$"
    return done + rest


def _braced(text: str) -> tuple[str, str]:
    depth = 0
    for at, letter in enumerate(text):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            return text[1:at], text[at + 1 :]
    raise ValueError(f"a brace is not closed in {text!r}")


def _value(inside: str, variables: Mapping[str, str]) -> str:
    name = _NAME.match(inside)
    if name is None:
        raise ValueError(f"no variable in ${{{inside}}}")
    value, what = variables.get(name[0], ""), inside[name.end() :]
    if value:
        return value
    if what.startswith(":-"):
        return fill_in(what[2:], variables)
    if what.startswith(":?"):
        raise KeyError(f"{name[0]}: {what[2:]}")
    return value
