"""How `make` finds a Python and installs: what can be seen without installing anything."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import install

ROOT = Path(__file__).resolve().parents[2]


def find_python(path: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the search with this PATH."""
    return subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "find_python.sh")],
        env={"PATH": path, **environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def an_executable(path: Path, text: str) -> Path:
    """A shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(stat.S_IRWXU)
    return path


def test_a_python_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    """Of several interpreters the first that will do is taken."""
    good = sys.executable
    an_executable(tmp_path / "python3", "exit 1")
    an_executable(tmp_path / "python3.12", f'exec "{good}" "$@"')
    found = find_python(str(tmp_path))
    assert found.returncode == 0
    assert Path(found.stdout.strip()).name.startswith("python")


def test_the_chosen_python_is_not_second_guessed(tmp_path: Path) -> None:
    """One that was named by hand and will not do is refused, in one sentence with its name."""
    bad = an_executable(tmp_path / "old", "exit 1")
    found = find_python(os.environ["PATH"], PYTHON=str(bad))
    assert found.returncode == 1
    assert found.stdout == ""
    assert str(bad) in found.stderr
    assert found.stderr.count("\n") == 1


def test_uv_is_told_what_pip_knows() -> None:
    """Index, further indexes, wheels and certificates of pip's configuration reach uv under its own names."""
    settings = {
        "index-url": "https://mirror.test/simple",
        "extra-index-url": "https://a.test/simple  https://b.test/simple",
        "find-links": "/wheels /more",
        "cert": "/etc/ca.crt",
        "timeout": "3",
    }
    environ = install.uv_environment(settings, {"HOME": "/home/me"})
    assert environ["UV_DEFAULT_INDEX"] == "https://mirror.test/simple"
    assert environ["UV_INDEX"].split() == ["https://a.test/simple", "https://b.test/simple"]
    assert environ["UV_FIND_LINKS"] == "/wheels,/more"
    assert environ["SSL_CERT_FILE"] == "/etc/ca.crt"
    assert environ["HOME"] == "/home/me"


def test_what_uv_was_told_itself_stays() -> None:
    """uv's own variables win over what pip's configuration says."""
    environ = install.uv_environment({"index-url": "https://pip.test"}, {"UV_DEFAULT_INDEX": "x"})
    assert environ["UV_DEFAULT_INDEX"] == "x"


def test_without_configuration_uv_asks_its_own_index() -> None:
    """No setting of pip's, no index named."""
    assert not {"UV_DEFAULT_INDEX", "UV_INDEX"} & install.uv_environment({}, {}).keys()


def test_the_lock_gives_the_version_of_the_installer() -> None:
    """uv comes in the version of the lock; a package that is not in it is an error that says what to do."""
    assert install.locked("uv").startswith("uv==")
    with pytest.raises(install.InstallError, match="make lock"):
        install.locked("no-such-package")


def test_another_lock_is_another_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fingerprint moves with the lock, and a stamp without a Python counts for nothing."""
    before = install.wanted()
    other = tmp_path / "requirements.lock"
    other.write_text(install.LOCK_FILE.read_text() + "\n")
    monkeypatch.setattr(install, "LOCK_FILE", other)
    assert install.wanted() != before
    (tmp_path / ".installed").write_text(before)
    monkeypatch.setattr(install, "STAMP", tmp_path / ".installed")
    monkeypatch.setattr(install, "VENV_PYTHON", tmp_path / "no" / "python")
    assert install.installed() == ""
