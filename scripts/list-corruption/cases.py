# SPDX-License-Identifier: GPL-2.0
"""What is played, on what, and which splats have to come of it."""

import dataclasses
import re

BUGGY, FIXED, RUST = "zs_race_2023", "zs_race_fixed", "zs_race_rs"

# `test` has DEBUG_LIST, DEBUG_SPINLOCK and DEBUG_ATOMIC_SLEEP, `lockdep` also
# PROVE_LOCKING, `bench` nothing of the kind.
FLAVOURS = ("test", "lockdep", "bench")

DOUBLE_ADD = "list_add double add"
NEXT_NULL = "list_add corruption. next is NULL"
LIST_DEL = "list_del corruption"
UNLOCK_BALANCE = "bad unlock balance"
RWLOCK_OWNER = "rwlock wrong owner"
RWLOCK_MAGIC = "rwlock bad magic"
ATOMIC = "scheduling while atomic"
OOPS = "oops"

# The first that fits a line of the kernel log is what it is.
SPLATS = [
    (DOUBLE_ADD, re.compile(r"^list_add double add: ")),
    (NEXT_NULL, re.compile(r"^list_add corruption\. next is NULL\.$")),
    (LIST_DEL, re.compile(r"^list_del corruption")),
    (UNLOCK_BALANCE, re.compile(r"^WARNING: bad unlock balance detected!")),
    (RWLOCK_OWNER, re.compile(r"^BUG: rwlock wrong owner")),
    (RWLOCK_MAGIC, re.compile(r"^BUG: rwlock bad magic")),
    (ATOMIC, re.compile(r"^BUG: scheduling while atomic")),
    (OOPS, re.compile(r"^BUG: kernel NULL pointer dereference|^BUG: unable to handle|"
                      r"^general protection fault|^Oops")),
    # Of each splat above one line only; anything else is one of its own.
    ("list", re.compile(r"^list_(add|del)")),
    ("other", re.compile(r"^BUG: |^WARNING: (?!CPU: \d+ PID: \d+ at lib/list_debug\.c)|"
                         r"^kernel BUG at|KASAN|UBSAN|soft lockup|INFO: (task|rcu|possible)|"
                         r"blocked for more than|Poison overwritten|nobody cared")),
]


@dataclasses.dataclass
class Play:
    """A scene on an allocator in a kernel."""
    scene: str
    module: str
    flavour: str
    splats: list
    title: str = ""
    # Printed in full.
    shown: bool = False
    says: tuple = ()
    parameters: tuple = ()
    append: tuple = ()
    # Set for a scene that is played more than once on the same.
    variant: str = ""

    @property
    def name(self):
        return "/".join(filter(None, (self.flavour, self.module, self.scene, self.variant)))

    @property
    def stale(self):
        """Whether a zspage is put back that is not in hand."""
        return self.module == BUGGY and self.scene != "alone"


# What the second unlock adds on a kernel with DEBUG_SPINLOCK and a count of preemption.
UNLOCK = [RWLOCK_OWNER, ATOMIC]

ON_TEST = [
    ("alone", [], "nobody else is there: the stale pointer is never used", True),
    ("double-add", [DOUBLE_ADD] + UNLOCK, "S is still the first on its list", True),
    ("unseen", UNLOCK, "S is second on its list: no check of lists sees it", False),
    ("seen-later", UNLOCK + [LIST_DEL], "an innocent one sees it later", False),
    ("next-null", [NEXT_NULL] + UNLOCK, "S is a zspage of another class by now", True),
    ("next-null-compact", [NEXT_NULL] + UNLOCK, "the same, and B is a compaction", False),
    ("freed", UNLOCK, "S is free memory by now: no check of lists sees it", False),
    ("freed-later", UNLOCK + [NEXT_NULL],
     "the slab allocator hands out the list heads as a zspage", True),
]
PLAYS = [Play(scene, BUGGY, "test", splats, title, shown)
         for scene, splats, title, shown in ON_TEST]
PLAYS += [Play(scene, FIXED, "test", [], title) for scene, _, title, _ in ON_TEST]

# Freed memory that is zeroed says of itself that it is an empty zspage, and no lock.
PLAYS += [
    Play("freed", BUGGY, "test", [RWLOCK_MAGIC, ATOMIC], "freed memory is zeroed",
         append=("init_on_free=1",), variant="init-on-free"),
]

# The second unlock before lockdep. That says so once, and then nothing more of locks; and
# DEBUG_PREEMPT does not let the count of preemption go below zero.
ON_LOCKDEP = [
    ("alone", [], "nobody else is there", False),
    ("unseen", [UNLOCK_BALANCE], "lockdep alone sees it", True),
    ("double-add", [DOUBLE_ADD, UNLOCK_BALANCE], "both see it", False),
    ("next-null", [NEXT_NULL, UNLOCK_BALANCE], "both see it", False),
]
PLAYS += [Play(scene, BUGGY, "lockdep", splats, title, shown)
          for scene, splats, title, shown in ON_LOCKDEP]
PLAYS += [Play(scene, FIXED, "lockdep", [], title) for scene, _, title, _ in ON_LOCKDEP]

# A kernel that checks neither lists nor locks.
SECOND_UNLOCK = "after A's second unlock: lock word 0x200, somebody has it"
ON_BENCH = [
    ("double-add", [ATOMIC], "nobody says anything of the list", False),
    ("unseen", [ATOMIC], "nor here", False),
    ("next-null", [OOPS], "NULL is followed", False),
    ("freed-later", [ATOMIC, OOPS], "and here", False),
    ("reader", [ATOMIC], "the second unlock does not take the lock from a reader", True),
]
PLAYS += [Play(scene, BUGGY, "bench", splats, title, shown,
               (SECOND_UNLOCK,) if scene == "reader" else ())
          for scene, splats, title, shown in ON_BENCH]
PLAYS += [Play(scene, FIXED, "bench", [], title) for scene, _, title, _ in ON_BENCH]
