"""A client without anything of ours: generated stubs, grpcio, and the end of its stream in mind.

Run with the server's address; prints as JSON what it saw, for the test that started it.
"""

import importlib.util
import json
import sys

import grpc
from google.protobuf.duration_pb2 import Duration

from rejoinder.v1 import operation_pb2, operation_service_pb2, operation_service_pb2_grpc

OURS = ("rejoinder_client", "rejoinder_server", "rejoinder_worker", "rejoinder_broker")
TERMINAL = operation_pb2.Operation.STATE_SUCCEEDED


def main(address: str) -> None:
    seen = []
    cuts = 0
    with grpc.insecure_channel(address) as channel:
        stub = operation_service_pb2_grpc.OperationServiceStub(channel)
        submitted = stub.Submit(
            operation_service_pb2.SubmitRequest(
                type="rejoinder.echo",
                payload=operation_pb2.Payload(json='{"rows":10}'),
                delay=Duration(nanos=300_000_000),
            ),
            timeout=30,
        )
        cursor = ""
        state = operation_pb2.Operation.STATE_UNSPECIFIED
        while state != TERMINAL:
            request = operation_service_pb2.WatchStatusRequest(
                operation_id=submitted.operation.operation_id, cursor=cursor, from_start=not cursor
            )
            stream = stub.WatchStatus(request, timeout=30)
            for message in stream:
                cursor = message.cursor
                if message.WhichOneof("update") == "transition":
                    state = message.transition.state
                    seen.append(message.transition)
                    # Cut after every transition, so that each one comes over a stream of its own.
                    stream.cancel()
                    cuts += 1
                    break
        # At the end there is nothing more to tell, and the server says so with OK.
        request.cursor = cursor
        rest = list(stub.WatchStatus(request, timeout=30))
    json.dump(
        {
            "sequences": [transition.sequence for transition in seen],
            "states": [operation_pb2.Operation.State.Name(transition.state) for transition in seen],
            "result": json.loads(seen[-1].operation.result.json),
            "cuts": cuts,
            "rest": len(rest),
            "ours": [name for name in OURS if importlib.util.find_spec(name)],
            "contract": operation_pb2.__file__,
        },
        sys.stdout,
    )


main(sys.argv[1])
