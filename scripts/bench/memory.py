# SPDX-License-Identifier: GPL-2.0
"""The memory of a pool over time, during a churn of objects or of pages on zram: with C,
with Rust, and with Rust compacting in the background. It runs on Debian's 7.3 under
icount. The guest's clock counts instructions, so steps are as far apart in all runs."""

import zram
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

    objects = OBJECTS
    # The module's commands.
    write, overwrite, discard = "refill", "churn", "punch"

    def __init__(self, guest, backend, proactiveness):
        self.guest = guest
        self.samples = []
        self.instructions = 0
        self.of_background = {}
        guest.do(f"use {backend}")
        guest.do(f"proactiveness {proactiveness}")
        self.begin()
        seeds = iter(range(1, 1000))
        for _ in range(FILL):
            self.step(f"{self.write} n={self.objects // FILL} seed={next(seeds)}")
        for _ in range(OVERWRITE):
            self.step(f"{self.overwrite} n={self.objects // 2 // OVERWRITE} seed={next(seeds)}")
        for _ in range(DISCARD):
            self.step(f"{self.discard} keep={KEEP} seed={next(seeds)}")
        for _ in range(PAUSE):
            self.step(None, PAUSE_REST)
        for _ in range(REFILL):
            self.step(f"{self.write} n={self.objects * 2 // 5 // REFILL} seed={next(seeds)}")
        self.end(backend)

    def begin(self):
        self.guest.do("create")
        self.guest.do(f"room n={self.objects}")

    def sample(self):
        self.guest.do("stat", lambda f: self.samples.append(
            {"stored": f["bytes"], "pool": f["pages"] * PAGE}))

    def end(self, backend):
        self.guest.do("write")
        self.guest.do("verify")
        if backend == "rust":
            self.guest.do("background", self.of_background.update)
        self.guest.do("destroy")

    def step(self, line, rest=REST):
        if line:
            self.guest.do(line, self.took)
        self.guest.do(f"idle {rest}")
        self.sample()

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


class ZramChurn(Churn):
    """The churn of the pages of a zram device. The compressed bytes count as stored."""

    # Compressing a page takes the guest forty times as long as an object.
    objects = 24000
    algorithm = "lz4"
    write, overwrite, discard = "pages write", "pages overwrite", "pages discard"

    def begin(self):
        self.guest.do(f"zram {self.algorithm} {self.objects}")

    def sample(self):
        self.guest.do("zram-stat", lambda f: self.samples.append(
            {"stored": f["bytes"], "pool": f["used"]}))

    def end(self, backend):
        self.guest.do("pages verify")
        if backend == "rust":
            self.guest.do("background zram0", self.of_background.update)
        self.guest.do("zram-end")


def lives(guest, churn, proactiveness):
    """Plans one churn for each backend and each value of the parameter."""
    # The first one warms up the page allocator.
    churn(guest, "c", 0)
    return {"c": churn(guest, "c", 0), "rust": churn(guest, "rust", 0),
            "proactiveness": {str(n): churn(guest, "rust", n) for n in proactiveness}}


def results(of):
    return {"c": of["c"].result(), "rust": of["rust"].result(),
            "proactiveness": {n: life.result() for n, life in of["proactiveness"].items()}}


def run(sizes, workloads):
    """Returns {workload: {"c": result, "rust": result, "proactiveness": {number: result}}}."""
    guest = Guest("stock-7.3", "memory", sizes, modules=TAKEOVER_MODULES)
    guest.do("idle 20")
    made = {}
    for workload in workloads:
        guest.do(f"sizes {workload}")
        made[workload] = lives(guest, Churn, PROACTIVENESS)
    guest.run(timeout=1800)
    return {workload: results(of) for workload, of in made.items()}


def run_zram(sizes, workloads):
    """Does the same through zram. The key is the compressor instead of a workload."""
    guest = zram.guest_with_zram("stock-7.3", "memory-zram")
    guest.do("idle 20")
    of = lives(guest, ZramChurn, (DEFAULT,))
    guest.run(timeout=3600)
    return {ZramChurn.algorithm: results(of)}


def default(of):
    """Returns the result with the module's default, from the results of a workload."""
    return of["proactiveness"][str(DEFAULT)]
