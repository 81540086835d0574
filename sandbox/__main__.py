"""`python -m sandbox`: both simulated systems, their control API and the play page, in one process."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from sandbox.world import Ports, World, open_world


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    for system in ("salesforce", "pagerduty", "control", "pubsub"):
        parser.add_argument(f"--{system}-port", type=int, default=0, help="0 takes a free port")
    parser.add_argument(
        "--state",
        type=Path,
        help="folder that keeps both systems over a restart; memory without it",
    )
    parser.add_argument("--ready-file", type=Path, help="written once everything listens")
    parser.add_argument(
        "--airflow-url",
        type=_web_address,
        default=os.environ.get("SANDBOX_AIRFLOW_URL", ""),
        help="the Airflow whose pages the play page leads to (or SANDBOX_AIRFLOW_URL)",
    )
    parser.add_argument("--seed", type=int, help="makes ids and chance faults reproducible")
    return parser.parse_args()


def _web_address(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"'{text}' is no web address; write http://localhost:8080")
    return text.rstrip("/")


def _announce(world: World, ready_file: Path | None) -> None:
    line = json.dumps(world.ready())
    if ready_file is not None:
        # Written beside and moved, so that nobody reads half of it; it holds the demo's own key.
        draft = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(line + "\n")
        draft.replace(ready_file)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _run(world: World, ready_file: Path | None) -> int:
    stop, started = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(world.serve(started, stop))
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if started.is_set():
        _announce(world, ready_file)
    await serving
    return 0 if started.is_set() else 1


def main() -> int:
    """Serve until TERM or INT; 0 after a clean stop, 1 when it could not start."""
    arguments = _arguments()
    ports = Ports(
        arguments.salesforce_port,
        arguments.pagerduty_port,
        arguments.control_port,
        arguments.pubsub_port,
    )
    try:
        world = open_world(arguments.state, ports, seed=arguments.seed)
        world.airflow_url = arguments.airflow_url
    except OSError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 1
    try:
        return asyncio.run(_run(world, arguments.ready_file))
    finally:
        world.close()
        if arguments.ready_file is not None:
            arguments.ready_file.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
