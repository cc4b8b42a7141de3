"""A real S3 server for tests: moto's, in a thread of this process."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto.server import ThreadedMotoServer

from server.catalogue import storage

BUCKET = "songs"


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """An S3 server with an empty bucket; the environment by which clients find it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environ = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
    }  # fmt: skip
    try:
        with pytest.MonkeyPatch.context() as patched:
            for name, value in environ.items():
                patched.setenv(name, value)
            storage._store.cache_clear()  # a store keeps the address that it was opened with
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            yield environ
    finally:
        server.stop()
