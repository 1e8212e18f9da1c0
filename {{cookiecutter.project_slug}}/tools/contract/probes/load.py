"""Load the service until nobody listens any more, and print what was answered and what was lost.

Three kinds of client: one keeps its connection, one opens a new one each time, one takes 0.4 s to send its request. A
request of which a part was sent and not answered is lost. "started" is printed after 300 answers. It ends after so many
seconds as the first argument says, should the service not end.
"""

import asyncio
import json
import sys
import time

count = {"answered": 0, "lost": 0, "not ready": 0}
end = time.monotonic() + float(sys.argv[1])


async def client(kind: str, path: str) -> None:
    """Send one request after the other."""
    reader = writer = None
    while time.monotonic() < end:
        try:
            if reader is None or writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", 8000)
        except OSError:
            return
        wish = "close" if kind == "new" else "keep-alive"
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode())
            if kind == "slow":
                await asyncio.sleep(0.4)
            writer.write(f"Connection: {wish}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.split("content-length:")[1].split()[0]))
            count["answered"] += 1
            count["not ready"] += path == "/readyz" and " 503 " in head
            is_over = "connection: close" in head
        except (OSError, asyncio.IncompleteReadError):
            count["lost"] += 1
            is_over = True
        if count["answered"] == 300:
            print("started", flush=True)
        if is_over:
            writer.close()
            reader = writer = None
        await asyncio.sleep(0.005)


async def main() -> None:
    """Run 16 clients."""
    kinds = ["keep"] * 8 + ["new"] * 4 + ["slow"] * 4
    await asyncio.gather(*(client(kind, ("/healthz", "/readyz")[i % 2]) for i, kind in enumerate(kinds)))
    print(json.dumps(count))


asyncio.run(main())
