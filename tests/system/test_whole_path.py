"""One operation's whole way, in both deployments: submitted on one server, watched on the other."""

from rejoinder_client import AsyncClient, State, UpdateKind
from tests.support.deployment import Deployment


async def test_a_result_reaches_a_caller_on_another_server(deployment: Deployment) -> None:
    async with AsyncClient(deployment.first) as submitter, AsyncClient(deployment.last) as watcher:
        handle = await submitter.submit("test.echo", {"rows": 10})
        assert {"rows": 10} == await watcher.attach(handle.id).result(timeout=10)
