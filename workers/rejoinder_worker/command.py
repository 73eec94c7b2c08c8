"""The command `rejoinder-worker`."""

import asyncio
import os
import random
import signal
import sys
from typing import Any

import click

from rejoinder_broker import logs
from rejoinder_broker.port import BrokerRefused
from rejoinder_broker.settings import load, options
from rejoinder_worker.process import QUIET, open_broker
from rejoinder_worker.settings import WorkerSettings
from rejoinder_worker.supervisor import Supervisor


@click.command(name="rejoinder-worker")
@click.argument("modules", nargs=-1, required=True, metavar="MODULE[:NAME]...")
@options(WorkerSettings)
@click.option("--exit-with-parent", type=int, hidden=True, metavar="FD", help="Stop when this pipe is closed.")
@click.version_option(package_name="rejoinder", prog_name="rejoinder-worker")
def main(modules: tuple[str, ...], exit_with_parent: int | None, **given: Any) -> None:
    """Run handlers of Rejoinder operations.

    MODULE holds functions with @rejoinder_worker.handler; NAME is a Registry in it, when it has one of its own. SIGTERM
    and Ctrl-C let running handlers finish; a second one does not wait for them.
    """
    settings = load(WorkerSettings, given)
    logs.configure(format=settings.log_format, quiet=QUIET)
    try:
        status = asyncio.run(_supervise(settings, modules, parent=exit_with_parent))
    except BrokerRefused as error:
        click.echo(f"rejoinder-worker: the broker refused: {error}", err=True)
        status = 1
    sys.exit(status)


async def _supervise(settings: WorkerSettings, modules: tuple[str, ...], *, parent: int | None) -> int:
    supervisor = Supervisor(
        settings,
        modules=modules,
        broker=open_broker(settings.broker, settings.broker_prefix),
        randomness=random.Random(),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    if parent is not None:
        os.set_inheritable(parent, False)
        loop.add_reader(parent, _orphaned, loop, parent, supervisor)
    return await supervisor.run()


def _orphaned(loop: asyncio.AbstractEventLoop, parent: int, supervisor: Supervisor) -> None:
    if not os.read(parent, 1024):
        loop.remove_reader(parent)
        supervisor.hurry()
