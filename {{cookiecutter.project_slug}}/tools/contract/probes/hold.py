"""Hold a request open, half sent, until the service ends: `hold.py SECONDS`, at most."""

import contextlib
import socket
import sys

connection = socket.create_connection(("127.0.0.1", 8000), timeout=float(sys.argv[1]))
connection.sendall(b"GET /healthz HTTP/1.1\r\n")
print("started", flush=True)
with contextlib.suppress(OSError):
    connection.recv(1)
