"""`python -m pd_sf_rules` as scripts and people start it: exit codes, streams, help."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pd_sf_rules.cli.main import COMMANDS, _parser
from tests.integration.cli_world import CRITICAL, Shell
from tests.integration.pipeline_world import ROOT

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]


def test_a_whole_day_from_the_shell(pdsf: Shell) -> None:
    """Lint, sync, explain, errors, links and status, each a process of its own, agree with each other."""
    pdsf.rules()
    assert pdsf.process("lint").code == 0
    assert pdsf.process("sync").code == 0
    case_id = pdsf.world.case(Priority="Low")
    assert pdsf.process("sync", "--json").json["runs"][0]["counts"]["pulled"] == 1
    pdsf.world.edit(case_id, Priority="High", Status="Escalated")
    runs = pdsf.process("sync", "--json").json["runs"]
    (action,) = runs[0]["actions"]
    links = pdsf.process("links", "--json").json["links"]
    assert [(one["record"], one["incident"]) for one in links] == [(case_id, action["target"])]
    assert action["target"] in pdsf.process("explain", "--record", case_id).out
    assert pdsf.process("errors").code == 0
    assert pdsf.process("status").code == 0


def test_an_error_is_one_sentence_without_a_traceback(pdsf: Shell) -> None:
    """stderr tells what and what to do; stdout stays empty; --debug shows the traceback."""
    said = pdsf.process("sync", "--integration", "elsewhere")
    assert (said.code, said.out) == (1, "")
    assert said.err == "pdsf: There is no integration 'elsewhere'. Known are: default.\n"
    assert "Traceback" in pdsf.process("sync", "--integration", "elsewhere", "--debug").err


def test_a_defect_is_one_sentence_too(pdsf: Shell) -> None:
    """Even an unforeseen error has no traceback without --debug."""
    program = (
        "import sys; from pd_sf_rules.cli import main; from pd_sf_rules.cli import schema; "
        "schema.run = lambda options: {}['gone']; sys.exit(main(['schema']))"
    )
    said = pdsf.python(program)
    assert said.code == 1
    assert said.err == "pdsf: KeyError: 'gone' This is a defect of pdsf; --debug shows where.\n"


@pytest.mark.parametrize("words", [[], ["nonsense"], ["sync", "--nonsense"], ["explain"]])
def test_wrong_usage_exits_2(pdsf: Shell, words: list[str]) -> None:
    """argparse's own message goes to stderr."""
    said = pdsf.process(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("usage: pdsf")


def test_a_reader_that_goes_away_is_no_error(pdsf: Shell) -> None:
    """`pdsf schema | head -1` ends quietly."""
    command = f"{sys.executable} -m pd_sf_rules schema | head -1"
    environment = {"PYTHONPATH": "plugins", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env=environment, check=False
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_names_are_printed_on_any_terminal(pdsf: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Case in Japanese can be explained on a terminal that knows ASCII alone."""
    case_id, _ = pdsf.escalated(Subject="データベース")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("PYTHONUTF8", "0")
    said = pdsf.process("explain", "--record", case_id)
    assert (said.code, said.err) == (0, "")
    assert "\\u30c7" in said.out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str, pdsf: Shell) -> None:
    """Each command has a help text with examples, and every example is one that it understands."""
    said = pdsf(name, "--help")
    assert said.code == 0
    examples = re.findall(rf"^  pdsf ({name}\b.*?)(?:   .*)?$", said.out, re.MULTILINE)
    assert examples, said.out
    for example in examples:
        words = _words(example.partition(" > ")[0])
        assert _parser(words).parse_args(words).command == name


def _words(line: str) -> list[str]:
    import shlex  # noqa: PLC0415 - one use

    return [word for word in shlex.split(line) if word not in {"[ACTION", "...]"}]


def test_help_and_lint_import_little(pdsf: Shell) -> None:
    """Help must come at once: it loads neither pydantic nor a database nor a client."""
    program = (
        "import sys; from pd_sf_rules.cli import main; main(['--help']); "
        "print(sorted({'pydantic', 'sqlalchemy', 'yaml', 'jinja2', 'airflow'} & set(sys.modules)))"
    )
    assert pdsf.python(program).out.splitlines()[-1] == "[]"


def test_every_command_speaks_json(pdsf: Shell) -> None:
    """`--json` gives one JSON value on stdout, for every command."""
    case_id, _ = pdsf.escalated()
    draft = pdsf.rules(CRITICAL, "draft.test-me.yaml.txt")
    words = {
        "lint": [],
        "schema": [],
        "sync": [],
        "explain": ["--record", case_id],
        "simulate": ["--ruleset", str(draft), "--since", "1d"],
        "replay": ["--failed"],
        "links": [],
        "errors": [],
        "status": [],
        "ledger": ["stats"],
        "pause": [],
        "resume": [],
    }
    assert set(words) <= set(COMMANDS)
    for name, options in words.items():
        said = pdsf(name, *options, "--json")
        assert isinstance(said.json, dict), name
        assert said.code == 0, (name, said.err)


def test_the_file_beside_it_is_read(tmp_path: Path) -> None:
    """The program opens the ledger that the file names; called from Python it looks at no file."""
    (tmp_path / "env").write_text(f"PDSF_LEDGER_URL=sqlite:///{tmp_path}/of-the-file.db\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PDSF_", "AIRFLOW"))}
    environ = {
        **kept,
        "PDSF_ENV_FILE": str(tmp_path / "env"),
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT / "plugins"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "pd_sf_rules", "ledger", "stats", "--json"],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["database"].endswith("/of-the-file.db"), done.stderr
    program = "from pd_sf_rules.cli import main; main(['ledger', 'stats', '--json'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["database"].endswith("/pdsf_ledger.db"), done.stderr
