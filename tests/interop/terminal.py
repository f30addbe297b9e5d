#!/usr/bin/env python3
"""Runs a command on a terminal of its own, as a person would, and prints what it said without colours.

Where it shows an address to open and compare a code with, that address is opened, once. Exits as the command does,
or with 124 after two minutes.
"""
import os
import pty
import re
import select
import signal
import sys
import time
import urllib.request

child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])

said, opened, deadline = b"", False, time.monotonic() + 120
while True:
    ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
    if not ready:
        os.kill(child, signal.SIGKILL)
        break
    try:
        chunk = os.read(terminal, 65536)
    except OSError:  # the other end is gone
        break
    if not chunk:
        break
    said += chunk
    address = re.search(rb"or open (\S+) and compare the code\r", said)
    if address and not opened:
        opened = True
        urllib.request.urlopen(address.group(1).decode(), timeout=20).read()

_, status = os.waitpid(child, 0)
text = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]|\r", b"", said)
sys.stdout.buffer.write(text)
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 124)
