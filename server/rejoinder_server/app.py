"""The one place that makes the server's objects, joins them, and ends them in the right order."""

import asyncio
import signal
from collections.abc import Sequence
from random import Random, SystemRandom
from wsgiref.simple_server import WSGIServer

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from rejoinder.v1 import operation_service_pb2
from rejoinder.v1.operation_service_pb2_grpc import add_OperationServiceServicer_to_server
from rejoinder_broker import server_broker
from rejoinder_broker.settings import format_duration
from rejoinder_server.announcer import Announcer
from rejoinder_server.census import Census
from rejoinder_server.clock import StoreClock
from rejoinder_server.config import ServerSettings, address, server_id, span
from rejoinder_server.directory import DirectoryReader
from rejoinder_server.editor import Editor
from rejoinder_server.embedded import EmbeddedWorker
from rejoinder_server.granter import Granter
from rejoinder_server.health import DISPATCH, SERVER, STORE, Health
from rejoinder_server.hub import Hub
from rejoinder_server.intake import Intake
from rejoinder_server.interceptor import ErrorInterceptor
from rejoinder_server.marker import MarkerSender
from rejoinder_server.metrics import Metrics
from rejoinder_server.reader import Reader
from rejoinder_server.recorder import Recorder
from rejoinder_server.scheduler import Scheduler
from rejoinder_server.service import OperationService
from rejoinder_server.store import open_store
from rejoinder_server.sweeper import Sweeper
from rejoinder_server.view import View
from rejoinder_server.watch import Watch

log = structlog.get_logger(__name__)

WORKER_START_SECONDS = 15.0
"""How long an embedded server waits for its worker to announce its types before it serves without."""

MESSAGE_SLACK_BYTES = 4 * 1024 * 1024

GRPC_OPTIONS = (
    # A second server on the same port must fail, not share it silently.
    ("grpc.so_reuseport", 0),
    # Clients ping every 30 s; faster ones than every 10 s are told to go away.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)


class CannotServe(Exception):
    """The server cannot listen where it was told to."""


class App:
    """One server process, from its settings to its end."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._server = server_id()
        self._random: Random = SystemRandom()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            StoreError: The store cannot be used.
            BrokerRefused: The broker will never work like this.
            CannotServe: An address is taken.
            WorkerRefused: The embedded worker can never run like this.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        settings = self._settings
        self._store = open_store(
            settings.store,
            connections=settings.store_connections,
            timeout_seconds=settings.store_timeout.total_seconds(),
        )
        await self._store.open()
        try:
            self._clock = StoreClock()
            self._clock.observe(await self._store.now())
            self._broker = server_broker(settings.broker, prefix=settings.broker_prefix)
            self._wire()
            await self._serve()
        finally:
            await self._store.close()

    def _wire(self) -> None:
        """Make every object and hand it what it needs."""
        settings, store, broker, clock = self._settings, self._store, self._broker, self._clock
        rules, limits = settings.rules, settings.limits
        self._metrics = metrics = Metrics()
        self._health = Health()
        self._hub = hub = Hub()
        self._reader = reader = Reader(store)
        self._directory = directory = DirectoryReader(store=store, clock=clock)
        self._scheduler = scheduler = Scheduler(
            store=store,
            broker=broker,
            clock=clock,
            metrics=metrics,
            interval=settings.schedule_interval.total_seconds(),
        )
        self._announcer = announcer = Announcer(
            server=self._server,
            hub=hub,
            broker=broker,
            scheduler=scheduler,
            directory=directory,
            clock=clock,
            metrics=metrics,
        )
        editor = Editor(store=store, rules=rules, random=self._random)
        self._sweeper = sweeper = Sweeper(
            editor=editor, announcer=announcer, interval=settings.sweep_interval.total_seconds()
        )
        granter = Granter(editor=editor, broker=broker, announcer=announcer, metrics=metrics)
        recorder = Recorder(
            editor=editor,
            announcer=announcer,
            metrics=metrics,
            max_result_bytes=settings.max_payload_bytes,
            marker_interval=span(settings.marker_interval),
            announced=sweeper.wake,
        )
        self._intake = Intake(
            granter=granter, recorder=recorder, hub=hub, scheduler=scheduler, health=self._health, metrics=metrics
        )
        self._marker = MarkerSender(
            server=self._server,
            store=store,
            broker=broker,
            clock=clock,
            interval=settings.marker_interval,
            note_store=lambda answers: self._health.set(STORE, is_serving=answers),
            note_dispatch=lambda works: self._health.set(DISPATCH, is_serving=works),
        )
        self._census = Census(store=store, directory=directory, hub=hub, clock=clock, metrics=metrics)
        view = View(store=store, directory=directory, clock=clock)
        watch = Watch(
            store=store,
            reader=reader,
            hub=hub,
            view=view,
            random=self._random,
            write_seconds=settings.write_timeout.total_seconds(),
        )
        self._service = OperationService(
            editor=editor,
            reader=reader,
            hub=hub,
            view=view,
            watch=watch,
            directory=directory,
            announcer=announcer,
            clock=clock,
            metrics=metrics,
            random=self._random,
            limits=limits,
            timeouts=settings.timeouts,
            retry_policy=settings.retry_policy,
            retention=span(settings.retention),
            refuse_unknown_types=settings.unknown_types == "refuse",
        )

    async def _serve(self) -> None:
        server, where = self._bind()
        metrics_server = self._serve_metrics()
        worker: EmbeddedWorker | None = None
        try:
            self._health.set(STORE, is_serving=True)
            self._health.set(DISPATCH, is_serving=False)
            await self._broker.start(self._intake)
            parts = [self._scheduler.run, self._sweeper.run, self._marker.run]
            if metrics_server is not None:
                parts.append(self._census.run)
            self._tasks.extend(asyncio.create_task(run()) for run in parts)
            worker = self._start_worker()
            if worker is not None:
                await self._await_announcement()
            await server.start()
            self._health.set(SERVER, is_serving=True)
            log.info("serving", address=where, store=self._settings.store.split("://")[0], server=self._server)
            await self._run_until_stopped()
        finally:
            await self._stop(server, worker)
            if metrics_server is not None:
                metrics_server.shutdown()
                metrics_server.server_close()

    def _bind(self) -> tuple[grpc.aio.Server, str]:
        settings = self._settings
        server = grpc.aio.server(
            interceptors=[self._interceptor()],
            options=[
                *GRPC_OPTIONS,
                # Larger than any payload that passes the check, so that the check can say what is wrong.
                ("grpc.max_receive_message_length", 2 * settings.max_payload_bytes + MESSAGE_SLACK_BYTES),
                ("grpc.max_send_message_length", -1),
            ],
        )
        add_OperationServiceServicer_to_server(self._service, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, server)
        names = (
            operation_service_pb2.DESCRIPTOR.services_by_name["OperationService"].full_name,
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            reflection.SERVICE_NAME,
        )
        reflection.enable_server_reflection(names, server)
        host, port = address(settings.listen, "--listen")
        try:
            bound = server.add_insecure_port(settings.listen)
        except RuntimeError as error:
            raise CannotServe(f"cannot listen on {settings.listen}: the address is in use or not ours") from error
        return server, f"{host}:{bound or port}"

    def _interceptor(self) -> ErrorInterceptor:
        def observe(method: str, code: str, seconds: float) -> None:
            name = method.rpartition("/")[2]
            self._metrics.requests.labels(name, code).inc()
            if name != "WatchStatus":
                self._metrics.request_seconds.labels(name).observe(seconds)

        return ErrorInterceptor(observe)

    def _serve_metrics(self) -> "WSGIServer | None":
        if not self._settings.metrics_listen:
            return None
        host, port = address(self._settings.metrics_listen, "--metrics-listen")
        try:
            server, _ = start_http_server(port, host, registry=self._metrics.registry)
        except OSError as error:
            raise CannotServe(f"cannot serve metrics on {self._settings.metrics_listen}: {error.strerror}") from error
        log.info("serving metrics", address=f"{host}:{server.server_port}")
        return server

    def _start_worker(self) -> EmbeddedWorker | None:
        settings = self._settings
        if not settings.is_embedded or settings.worker_processes == 0:
            return None
        worker = EmbeddedWorker(
            broker_url=self._broker.url,  # type: ignore[attr-defined] # the local broker's alone
            handlers=settings.handlers,
            arguments=[
                f"--processes={settings.worker_processes}",
                f"--threads={settings.worker_threads}",
                f"--heartbeat-interval={format_duration(settings.lease / 3)}",
                f"--claim-interval={format_duration(settings.claim_interval)}",
                f"--max-result-bytes={settings.max_payload_bytes}",
                f"--log-format={settings.log_format}",
            ],
        )
        self._tasks.append(asyncio.create_task(worker.run()))
        return worker

    async def _await_announcement(self) -> None:
        """Serve only once the embedded worker's types are known, or submits would not get their defaults."""
        try:
            async with asyncio.timeout(WORKER_START_SECONDS):
                while not (await self._directory.read(is_latest=True)).workers and not self._has_ended():  # noqa: ASYNC110 # what is waited for stands in the store
                    await asyncio.sleep(0.05)
        except TimeoutError:
            log.warning("the embedded worker has not announced itself yet, serving without")
        self._raise_ended()

    def _has_ended(self) -> bool:
        return self._stopping.is_set() or any(task.done() for task in self._tasks)

    async def _run_until_stopped(self) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([stopping, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        self._raise_ended()

    def _raise_ended(self) -> None:
        """Raise what ended a part of the server; whoever handles it tells it, so it is not logged as well."""
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.remove(task)
            task.result()

    async def _stop(self, server: grpc.aio.Server, worker: EmbeddedWorker | None) -> None:
        """End in the order in which nothing is cut that could have been finished."""
        log.info("stopping")
        self._health.set(SERVER, is_serving=False)
        self._hub.drain()
        if worker is not None:
            await worker.stop()
        await server.stop(self._settings.stop_grace.total_seconds())
        await self._broker.stop_consuming()
        await self._service.close()
        await self._announcer.close()
        await _cancel(self._tasks)
        await self._reader.close()
        await self._health.close()
        await self._broker.stop()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("a part of the server ended with an error", exc_info=result)
