"""Inside an agent's sandbox: makes a loopback address of the gateway's socket, and runs the agent beside it.

A program of its own: `python _forwarder.py SOCKET -- COMMAND…`. Where the command or its variables say `@GATEWAY@`,
the address stands. It imports nothing of Bessemer, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading

PLACE = "@GATEWAY@"
CHUNK = 65536


def main(words: list[str]) -> int:
    """Run the command until it ends; its exit code, 128 and its number where a signal ended it."""
    path, command = words[0], words[2:]
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    threading.Thread(target=_accept, args=(listener, path), daemon=True).start()
    variables = {name: value.replace(PLACE, address) for name, value in os.environ.items()}
    try:
        code = subprocess.run([word.replace(PLACE, address) for word in command], env=variables, check=False).returncode
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    return code if code >= 0 else 128 - code


def _accept(listener: socket.socket, path: str) -> None:
    while True:
        inner, _ = listener.accept()
        outer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            outer.connect(path)
        except OSError:
            inner.close()
            outer.close()
            continue
        for source, sink in ((inner, outer), (outer, inner)):
            threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
