"""The files at the root that nobody runs here: requirements, locks, compose, image, licence."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.topology.compose import read_services

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([a-z0-9-]+)==([^ ;\\]+)", re.MULTILINE)
AIRFLOW = (
    "airflow-apiserver",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
    "airflow-worker",
)
FIXED = {
    "apache-airflow": "3.3.2",
    "apache-airflow-providers-salesforce": "5.15.1",
    "apache-airflow-providers-pagerduty": "5.3.1",
    "simple-salesforce": "1.12.10",
    "pyjwt": "2.15.1",
    "pendulum": "3.3.0",
}
SECRETS = (
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "AIRFLOW_ADMIN_PASSWORD",
    "AIRFLOW_FERNET_KEY",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_API_SECRET_KEY",
)


def text(name: str) -> str:
    """A file at the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    """Version by package of a requirements or lock file."""
    return dict(PIN.findall(text(name)))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file, anchors and merges resolved."""
    loaded: dict[str, Any] = yaml.safe_load(text("docker-compose.yaml"))
    return loaded


def test_the_six_fixed_packages_are_named() -> None:
    """requirements.txt pins exactly the versions that the project is built on."""
    assert FIXED.items() <= pins("requirements.txt").items()


def test_every_requirement_is_pinned_with_its_reason() -> None:
    """No line without `==` and a comment that says why the package is there."""
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = [line for line in text(name).splitlines() if line and not line.startswith("#")]
        assert [line for line in lines if not re.match(r"[a-z0-9-]+==\S+ +# \S", line)] == []


def test_locks_hold_what_is_required() -> None:
    """Each direct requirement is in its lock in the same version, and the image gets what is tested."""
    everything, production = pins("requirements.lock"), pins("requirements-prod.lock")
    assert pins("requirements.txt").items() <= production.items()
    assert pins("requirements-dev.txt").items() <= everything.items()
    assert production.items() <= everything.items()


def test_locks_name_no_place_and_check_what_they_get() -> None:
    """No registry and no path of a machine in a lock; every package comes with its hashes."""
    for name in ("requirements.lock", "requirements-prod.lock"):
        content = text(name)
        assert "://" not in content
        assert re.search(r"(^|\s)/\w", content) is None
        for entry in re.split(r"\n(?=[a-z0-9-]+==)", content)[1:]:
            assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_compose_has_the_distributed_set(compose: dict[str, Any]) -> None:
    """Every component, both servers, and the sandbox only in the profile `demo`."""
    usual = {name for name, service in compose["services"].items() if "profiles" not in service}
    assert usual == {"postgres", "redis", "airflow-init", *AIRFLOW}
    assert compose["services"]["sandbox"]["profiles"] == ["demo"]


def test_compose_has_no_password_that_works(compose: dict[str, Any]) -> None:
    """Each secret is required from outside, and stands nowhere with a default."""
    content = text("docker-compose.yaml")
    for name in SECRETS:
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", content)
        assert uses, name
        assert [use for use in uses if not use.startswith(":?")] == [], name
        assert f"# {name}=\n" in text(".env.example")
    assert not re.search(r"PASSWORD: *['\"]?[a-z0-9]+['\"]?$", content, re.MULTILINE)


def test_compose_components_are_one_airflow(compose: dict[str, Any]) -> None:
    """All of them share database, broker, keys, secrets, ledger and the way to the api-server."""
    shared = [
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__CELERY__BROKER_URL",
        "AIRFLOW__CELERY__RESULT_BACKEND",
        "PDSF_LEDGER_URL",
    ]
    first = compose["services"][AIRFLOW[0]]["environment"]
    for name in AIRFLOW:
        service = compose["services"][name]
        assert {key: service["environment"][key] for key in shared} == {
            key: first[key] for key in shared
        }
        assert (
            service["depends_on"]["airflow-init"]["condition"] == "service_completed_successfully"
        )
    assert first["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert first["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].startswith("http://airflow-apiserver:")


def test_compose_watches_and_restarts(compose: dict[str, Any]) -> None:
    """Whatever runs on has a health check (relays aside) and is started again when it ends."""
    for name, service in compose["services"].items():
        if service.get("restart") == "no":
            continue
        assert service["restart"] == "unless-stopped", name
        assert "healthcheck" in service or name.endswith("-relay"), name


def test_compose_offers_nothing_to_the_network(compose: dict[str, Any]) -> None:
    """Published ports are on loopback; containers get no capabilities and cannot gain any."""
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        if "build" in service:
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where podman-compose finds the `podman` that it wants to be there: to read a file it asks its version only."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "podman").write_text("#!/bin/sh\necho 4.3.1\n")
    (folder / "podman").chmod(0o755)
    return folder


def test_compose_file_is_what_the_specification_says() -> None:
    """The Compose specification's own schema takes the file, and refuses a misspelt key of a service."""
    accepted = _fits("-", text("docker-compose.yaml"))
    assert accepted.returncode == 0, accepted.stdout
    refused = _fits("-", text("docker-compose.yaml").replace("cap_drop:", "cap_drops:"))
    assert refused.returncode != 0
    assert "cap_drops" in refused.stdout


@pytest.mark.parametrize("missing", SECRETS)
def test_no_secret_has_a_default(tools: Path, missing: str) -> None:
    """`config` of a compose tool refuses the file while one secret is missing, and says where it belongs."""
    refused = _config(tools, {one: "x" * 32 for one in SECRETS if one != missing})
    assert refused.returncode != 0
    assert f"set {missing} in .env, see .env.example" in refused.stdout + refused.stderr


@pytest.mark.parametrize("profile", [(), ("demo",)])
def test_compose_file_is_read_as_we_read_it(tools: Path, profile: tuple[str, ...]) -> None:
    """With the secrets a compose tool resolves it to the services, commands and variables that the topology test runs.

    And what it resolved is what the specification says, too.
    """
    secrets = {one: f"secret-{number}" for number, one in enumerate(SECRETS)}
    done = _config(tools, secrets, *profile)
    assert done.returncode == 0, done.stderr
    resolved: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    ours = read_services(ROOT / "docker-compose.yaml", secrets)
    stated = yaml.safe_load(text("docker-compose.yaml"))["services"]
    demo = {one for one in ours if "profiles" in stated[one]}
    assert set(resolved) == set(ours) - (set() if profile else demo)
    for name, service in resolved.items():
        given = service.get("environment", {})
        assert {key: str(value) for key, value in given.items()} == ours[name].environment, name
        assert tuple(service.get("command", ())) == ours[name].command, name
    fits = _fits("-", done.stdout)
    assert fits.returncode == 0, fits.stdout


def test_compose_file_is_accepted_by_docker() -> None:
    """Where Docker itself is at hand, its `docker compose config` says the same."""
    command = ["docker", "compose", "--env-file", "/dev/null", "--profile", "demo", "config"]
    if not shutil.which("docker") or _run(["docker", "compose", "version"], {}).returncode:
        pytest.skip("no docker compose here: podman-compose and the specification have judged it")
    refused = _run(command, {})
    assert refused.returncode != 0
    assert "see .env.example" in refused.stderr
    accepted = _run(command, dict.fromkeys(SECRETS, "x" * 32))
    assert accepted.returncode == 0, accepted.stderr


def _config(
    tools: Path, environ: dict[str, str], *profiles: str
) -> subprocess.CompletedProcess[str]:
    chosen = [word for one in profiles for word in ("--profile", one)]
    command = [sys.executable, "-m", "podman_compose", "--env-file", "/dev/null", *chosen, "config"]
    return _run(command, environ, path=f"{tools}:")


def _fits(name: str, content: str) -> subprocess.CompletedProcess[str]:
    words = ["--builtin-schema", "vendor.compose-spec", "--default-filetype", "yaml", name]
    return _run([sys.executable, "-m", "check_jsonschema", *words], {}, given=content)


def _run(
    command: list[str], environ: dict[str, str], *, given: str = "", path: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=given, cwd=ROOT,
        env={"PATH": f"{path}/usr/local/bin:/usr/bin:/bin", **environ},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_image_is_pinned_and_not_root() -> None:
    """The base is Airflow's own image in our version, installed with hashes, and the last user is not root."""
    content = text("Dockerfile")
    assert f"FROM apache/airflow:slim-{FIXED['apache-airflow']}-python3." in content
    assert "--require-hashes" in content
    assert re.findall(r"^USER (\S+)$", content, re.MULTILINE)[-1] == "airflow"
    for source in re.findall(r"^COPY (?:--\S+ )*(\S+) ", content, re.MULTILINE):
        assert (ROOT / source).exists(), source
        top = source if source in text(".dockerignore") else source.split("/")[0]
        assert f"!{top}\n" in text(".dockerignore"), source


def test_plain_make_lists_the_targets() -> None:
    """A newcomer who types `make` sees what there is, one line each."""
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "up", "lint", "bench"):
        assert re.search(rf"^ +make {target} +\S", listed, re.MULTILINE), target


def test_licence_is_apache() -> None:
    """The licence that pyproject.toml names is the one in the tree."""
    assert 'license = "Apache-2.0"' in text("pyproject.toml")
    assert "Apache License" in text("LICENSE").splitlines()[1]
