"""Makes `.venv` and installs exactly what `requirements.lock` says.

Standard library only: it runs before anything is installed. Safe to run at any time and by several
at once: a lock lets one install, a stamp written last says what is there, and whatever was left
half-done (an interrupted install, an environment whose Python has gone) is finished or made anew.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".installed"
LOCK_FILE = ROOT / "requirements.lock"

# pip's settings that uv has under another name. uv reads none of pip's own files.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
}


class InstallError(Exception):
    """What went wrong and what to do, in one sentence."""


def wanted() -> str:
    """Fingerprint of what the environment is made from: lock, metadata, this script, the Python."""
    digest = hashlib.sha256()
    for path in (LOCK_FILE, Path(__file__)):
        digest.update(path.read_bytes())
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    digest.update(repr([metadata.get(name) for name in ("build-system", "project")]).encode())
    digest.update(sys.version.encode())
    return digest.hexdigest()


def installed() -> str:
    """Fingerprint of the last install that ran to its end in an environment that still starts, else ""."""
    if not STAMP.is_file() or not starts(VENV_PYTHON):
        return ""
    return STAMP.read_text(encoding="utf-8").strip()


def starts(python: Path) -> bool:
    """Whether this interpreter runs, has pip and is of the version that runs this script."""
    if not python.exists():
        return False
    probe = "import pip, sys; print(sys.version)"
    answer = subprocess.run(
        [python, "-c", probe], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return answer.returncode == 0 and answer.stdout.strip() == sys.version.strip()


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Waits until no other install of this checkout is running."""
    runtime = ROOT / ".run"
    runtime.mkdir(exist_ok=True)
    with (runtime / "install.lock").open("w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another install of this checkout is running; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """One line of progress, on standard error: standard output belongs to the command that follows."""
    sys.stderr.write(f"install: {text}\n")
    sys.stderr.flush()


def make_environment() -> None:
    """An environment of this Python in `.venv`; one that no longer starts is removed first."""
    if starts(VENV_PYTHON):
        return
    if VENV.exists():
        say(".venv is incomplete or of another Python: making it anew")
        shutil.rmtree(VENV)
    made = subprocess.run(
        [sys.executable, "-m", "venv", VENV], check=False, stdin=subprocess.DEVNULL
    )
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        raise InstallError(
            f"{sys.executable} could not make a virtual environment; on Debian install python3-venv."
        )


def locked(name: str) -> str:
    """`name==version` as the lock has it."""
    found = re.search(rf"^{name}==\S+", LOCK_FILE.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise InstallError(f"requirements.lock does not name {name}; run `make lock`.")
    return found.group()


def pip_settings() -> dict[str, str]:
    """What pip is told by its files and `PIP_*`, by option name; the environment wins, as it does in pip."""
    listed = subprocess.run(
        [VENV_PYTHON, "-m", "pip", "config", "list"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    settings: dict[str, str] = {}
    for line in sorted(listed.stdout.splitlines(), key=lambda text: text.startswith(":env:")):
        found = re.match(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", line)
        if found:
            settings[found.group(1)] = found.group(2).replace("\\n", " ")
    return settings


def uv_environment(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv: what pip knows about indexes and certificates, unless uv was told itself."""
    result = dict(environ)
    for option, name in UV_NAMES.items():
        if option in settings and name not in result:
            result[name] = settings[option].strip()
    if "UV_FIND_LINKS" in result:
        result["UV_FIND_LINKS"] = ",".join(result["UV_FIND_LINKS"].replace(",", " ").split())
    # An index that pip may add must not hide versions that the first index has.
    result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return result


def run_quietly(command: list[str], env: Mapping[str, str] | None = None) -> bool:
    """Runs an installer without a standard input; its words are shown as they come."""
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=env, cwd=ROOT
    )
    return done.returncode == 0


def pip(*arguments: str) -> bool:
    """pip of the environment, with its own configuration untouched."""
    return run_quietly(
        [str(VENV_PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    )


def install_locked() -> None:
    """Everything in the lock: by uv, and by plain pip where uv cannot be had or cannot reach the index."""
    uv = VENV / "bin" / "uv"
    if uv.exists() or pip("install", "--quiet", locked("uv")):
        env = uv_environment(pip_settings(), os.environ)
        command = [str(uv), "pip", "install", "--quiet", "--python", str(VENV_PYTHON)]
        if run_quietly([*command, "--requirement", str(LOCK_FILE)], env):
            return
        say("uv could not install the packages; trying pip, which takes longer")
    else:
        say("uv could not be installed; going on with pip, which takes longer")
    # The lock is complete; left to itself, pip wants hashes for `celery[redis]` beside `celery`.
    if not pip("install", "--quiet", "--no-deps", "--requirement", str(LOCK_FILE)):
        raise InstallError(
            "the packages could not be installed: see pip's words above, "
            "check the network and pip's configuration, run again."
        )


def install_project() -> None:
    """Makes `pd_sf_rules` importable and `pdsf` a command; the lock has the build tool."""
    if not pip("install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)):
        raise InstallError("the project itself could not be installed: see pip's words above.")


def main() -> int:
    """Installs what is missing; 0 when all is there, 1 after one sentence saying what is wrong."""
    fingerprint = wanted()
    if installed() == fingerprint:
        return 0
    try:
        with one_at_a_time():
            if installed() == fingerprint:
                return 0
            started = time.monotonic()
            say("installing the packages of requirements.lock into .venv")
            make_environment()
            STAMP.unlink(missing_ok=True)
            install_locked()
            install_project()
            STAMP.write_text(fingerprint + "\n", encoding="utf-8")
            say(f"done in {time.monotonic() - started:.0f} s")
    except InstallError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
