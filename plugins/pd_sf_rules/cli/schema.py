"""Print the JSON Schema of a ruleset file, so that an editor completes and checks it while you type.

Examples:
  pdsf schema > ruleset.schema.json
  pdsf schema --write include/rulesets/ruleset.schema.json

VS Code with the YAML extension (redhat.vscode-yaml) takes it from the first line of a ruleset file:
  # yaml-language-server: $schema=./ruleset.schema.json
or for all of them from .vscode/settings.json:
  "yaml.schemas": {"include/rulesets/ruleset.schema.json": "include/rulesets/*.yaml"}
"""

import argparse
import json
import sys
from pathlib import Path

from pd_sf_rules.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write it there, and say the line for editors"
    )


def run(options: argparse.Namespace) -> int:
    """Print or write the schema."""
    from pd_sf_rules.rules.schema import json_schema  # noqa: PLC0415 - pydantic takes a while

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    if options.write is None:
        print(text)
        return 0
    try:
        options.write.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{options.write} cannot be written: {error.strerror}.") from None
    print(f"{options.write} is written. First line of a ruleset file beside it:", file=sys.stderr)
    print(f"# yaml-language-server: $schema=./{options.write.name}")
    return 0
