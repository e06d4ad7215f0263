"""Serve Keystone on a free loopback port, until standard input ends.

Run by Keystone's own interpreter. It prints the port once Keystone is loaded. The parent holds the
other end of standard input, so that not even a killed test run leaves a server behind.
"""

import importlib
import os
import socket
import sys
import threading


def _end_with_the_parent() -> None:
    while os.read(0, 4096):
        continue
    os._exit(0)


def main() -> None:
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    # Keystone's configuration library parses the arguments of whatever program it runs in.
    sys.argv = ["keystone"]
    # Neither is installed where the tests themselves run.
    application = importlib.import_module("keystone.wsgi.api").application
    serve = importlib.import_module("waitress").serve
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    # SQLite locks the whole database for a writer; one thread never waits for another.
    serve(application, sockets=[listener], threads=1)


if __name__ == "__main__":
    main()
