"""Where a container finds the credentials of its task role: 169.254.170.2, the only address that AWS's SDKs accept.

The address is on the machine's loopback interface (``local_cloud.container_cloud`` puts it there); connections to it
are handed on to ministack.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

ADDRESS, PORT = "169.254.170.2", 80


def serve(host: str, port: int) -> None:
    """Hand connections on to ``host:port``, in a thread, as long as this process lives.

    Several local clouds may share the address (``reuse_port``): any of them gives good credentials.
    """

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(_pipe(reader, their_writer), _pipe(their_reader, writer))

    async def main() -> None:
        server = await asyncio.start_server(forward, ADDRESS, PORT, reuse_port=True)
        listening.set()
        await server.serve_forever()

    listening = threading.Event()
    threading.Thread(target=lambda: asyncio.run(main()), name="task-endpoint", daemon=True).start()
    if not listening.wait(60):
        raise SystemExit(f"Cannot listen on {ADDRESS}:{PORT}")


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
