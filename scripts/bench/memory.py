# SPDX-License-Identifier: GPL-2.0
"""What a pool takes over time: a churn of objects, with C, with Rust, and with Rust
compacting in the background. On Debian's 7.3, under icount: the guest's clock counts
instructions, so the time between two steps is the same for all."""

from guest import TAKEOVER_MODULES, Guest

OBJECTS = 60000
# The number of steps in each phase. Half of the objects are overwritten, 40 % are
# discarded, and as many are allocated again.
FILL, OVERWRITE, DISCARD, PAUSE, REFILL = 20, 20, 10, 10, 10
PHASES = (("fill", FILL), ("overwrite half", OVERWRITE), ("discard 40 %", DISCARD),
          ("pause", PAUSE), ("refill", REFILL))
# The percentage of objects that each step of "discard" keeps. 0.95 ** 10 is 0.6.
KEEP = 95
# Seconds between steps. The ten steps of a pause take five.
REST, PAUSE_REST = 0.1, 0.5
# The module's default, and the values that it is compared with.
DEFAULT = 80
PROACTIVENESS = (20, 50, DEFAULT, 95, 100)
PAGE = 4096


class Churn:
    """The churn of one pool: a sample after each step, and the instructions."""

    def __init__(self, guest, backend, proactiveness):
        self.guest = guest
        self.samples = []
        self.instructions = 0
        guest.do(f"use {backend}")
        guest.do(f"proactiveness {proactiveness}")
        guest.do("create")
        guest.do(f"room n={OBJECTS}")
        seeds = iter(range(1, 1000))
        for _ in range(FILL):
            self.step(f"refill n={OBJECTS // FILL} seed={next(seeds)}")
        for _ in range(OVERWRITE):
            self.step(f"churn n={OBJECTS // 2 // OVERWRITE} seed={next(seeds)}")
        for _ in range(DISCARD):
            self.step(f"punch keep={KEEP} seed={next(seeds)}")
        for _ in range(PAUSE):
            self.step(None, PAUSE_REST)
        for _ in range(REFILL):
            self.step(f"refill n={OBJECTS * 2 // 5 // REFILL} seed={next(seeds)}")
        guest.do("write")
        guest.do("verify")
        self.of_background = {}
        if backend == "rust":
            guest.do("background", self.of_background.update)
        guest.do("destroy")

    def step(self, line, rest=REST):
        if line:
            self.guest.do(line, self.took)
        self.guest.do(f"idle {rest}")
        self.guest.do("stat", lambda f: self.samples.append(
            {"stored": f["bytes"], "pool": f["pages"] * PAGE}))

    def took(self, fields):
        self.instructions += fields["ns"] - fields["loop_ns"]

    def result(self):
        excess = [of["pool"] / of["stored"] - 1 for of in self.samples]
        after_pause = FILL + OVERWRITE + DISCARD + PAUSE - 1
        background = self.of_background.get("background_us", 0) * 1000
        return {"samples": self.samples, "excess": sum(excess) / len(excess),
                "excess_after_pause": excess[after_pause],
                "operations": self.instructions, "background": background,
                "instructions": self.instructions + background, **self.of_background}


def run(sizes, workloads):
    """Returns {workload: {"c": result, "rust": result, "proactiveness": {number: result}}}."""
    guest = Guest("stock-7.3", "memory", sizes, modules=TAKEOVER_MODULES)
    guest.do("idle 20")
    lives = {}
    for workload in workloads:
        guest.do(f"sizes {workload}")
        # The first warms up the page allocator; the second overwrites it.
        for _ in range(2):
            lives[workload, "c"] = Churn(guest, "c", 0)
        lives[workload, "rust"] = Churn(guest, "rust", 0)
        for n in PROACTIVENESS:
            lives[workload, n] = Churn(guest, "rust", n)
    guest.run(timeout=1800)
    return {workload: {
        "c": lives[workload, "c"].result(), "rust": lives[workload, "rust"].result(),
        "proactiveness": {str(n): lives[workload, n].result() for n in PROACTIVENESS},
    } for workload in workloads}


def default(of):
    """Returns the result with the module's default, from the results of a workload."""
    return of["proactiveness"][str(DEFAULT)]
