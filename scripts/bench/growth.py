# SPDX-License-Identifier: GPL-2.0
"""Instructions per operation for different numbers of objects in a pool."""

from guest import Guest
from icount import BACKENDS, per_op, recorder

POOLS = (1000, 10000, 100000, 1000000)
# Of each operation. Smaller pools get fewer.
ROUNDS = 20000
# Writing and verifying a million objects takes minutes in the guest.
MOST_VERIFIED = 100000


def pool(guest, backend, objects, put):
    def cost(name):
        return lambda fields: put(name, per_op(fields))

    rounds = min(ROUNDS, 2 * objects)
    guest.do(f"use {backend}")
    guest.do("create")
    guest.do(f"fill n={objects} seed=1", cost("malloc"))
    if objects <= MOST_VERIFIED:
        guest.do("write")
    guest.do(f"map n={rounds} set=all seed=2", cost("map"))
    guest.do(f"churn n={rounds} seed=3", cost("churn"))
    if objects <= MOST_VERIFIED:
        guest.do("write")
    guest.do("punch keep=40 seed=4", cost("free"))
    guest.do("compact", lambda f: put("compact", f["ns"] / max(f["pages"], 1)))
    if objects <= MOST_VERIFIED:
        guest.do("verify")
    guest.do("destroy")


def run(sizes, workload):
    """Returns {objects: {measure: {backend: instructions}}}."""
    results = {}
    guest = Guest("icount", "growth", sizes, "4G")
    guest.do(f"sizes {workload}")
    for objects in POOLS:
        for backend in BACKENDS:
            pool(guest, backend, objects, recorder(results, str(objects), backend))
    guest.run(timeout=1800)
    return results
