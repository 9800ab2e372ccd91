"""``python -m local_cloud.redshift``: the stand-in as a process."""

from __future__ import annotations

import argparse
import socket
import threading

import boto3
from botocore.config import Config

from local_cloud.redshift import copy, truncate, unload
from local_cloud.redshift.control import Control
from local_cloud.redshift.faults import Faults
from local_cloud.redshift.journal import Journal
from local_cloud.redshift.session import Server, Session, Worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", required=True, help="addresses to listen on, separated by commas")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--postgres-port", type=int, required=True)
    parser.add_argument("--endpoint", required=True, help="of S3")
    parser.add_argument("--slices", type=int, default=2)
    options = parser.parse_args()
    hosts = options.hosts.split(",")
    address = ("127.0.0.1", options.postgres_port)
    journal, faults = Journal(address), Faults()
    s3 = boto3.client(
        "s3",
        endpoint_url=options.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(max_pool_connections=16, retries={"max_attempts": 3}),
    )
    workers: dict[str, Worker] = {
        "UNLOAD": unload.Unload(s3, options.slices),
        "COPY": copy.Copy(s3),
        "TRUNCATE TABLE": truncate.truncate,
    }
    server = Server(address, journal, faults, workers)
    for host in hosts:
        threading.Thread(target=_serve, args=(server, (host, options.port)), daemon=True).start()
    Control((hosts[0], options.control_port), journal, faults).serve_forever()


def _serve(server: Server, address: tuple[str, int]) -> None:
    listener = socket.create_server(address, backlog=128)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=Session(server, connection).run, daemon=True).start()


main()
