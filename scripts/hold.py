# SPDX-License-Identifier: GPL-2.0
"""One run at a time in a folder: hold() for Python, as lib.sh has it for bash."""

import fcntl
import os
import sys

# Locks, held until the process exits.
HELD = []


def lock_of(folder):
    os.makedirs(folder, exist_ok=True)
    return open(os.path.join(folder, ".lock"), "a", encoding="ascii")


def hold(folder):
    """Reserve FOLDER until this process exits; wait if it is in use."""
    lock = lock_of(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print(f"waiting for the run that uses {folder}", file=sys.stderr, flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    HELD.append(lock)


def is_held(folder):
    """Whether anybody holds FOLDER."""
    with lock_of(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
