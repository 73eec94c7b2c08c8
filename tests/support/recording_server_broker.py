"""A server's side of a broker that keeps what is sent, for tests of what the server decides."""

from rejoinder.worker.v1.worker_pb2 import Changes, Event, WorkerMessage
from rejoinder_broker import Kind, ServerHandlers


class RecordingServerBroker:
    """Keeps tokens, messages, events and changes in lists.

    Attributes:
        gone: Connections to which nothing can be delivered.
    """

    def __init__(self) -> None:
        self.tokens: list[Kind] = []
        self.sent: list[tuple[str, WorkerMessage]] = []
        self.reported: list[Event] = []
        self.announced: list[Changes] = []
        self.gone: set[str] = set()

    @property
    def is_connected(self) -> bool:
        return True

    async def start(self, handlers: ServerHandlers) -> None:
        pass

    async def stop_consuming(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def offer(self, kind: Kind) -> None:
        self.tokens.append(kind)

    async def send(self, connection_id: str, message: WorkerMessage) -> bool:
        self.sent.append((connection_id, message))
        return connection_id not in self.gone

    async def report(self, event: Event) -> None:
        self.reported.append(event)

    def announce(self, changes: Changes) -> None:
        self.announced.append(changes)
