# SPDX-License-Identifier: GPL-2.0
"""The cases, the kernels they run on, and the splats that each must end with."""

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
    ("other", re.compile(r"^BUG: |^WARNING: (?!CPU: \d+ PID: \d+ at \S*lib/list_debug\.c)|"
                         r"^kernel BUG at|KASAN|UBSAN|soft lockup|INFO: (task|rcu|possible)|"
                         r"blocked for more than|Poison overwritten|nobody cared")),
]


@dataclasses.dataclass
class Case:
    """A case of module/cases.h, on a kernel and an allocator."""
    name: str
    # In order.
    splats: list
    title: str
    # Printed in full.
    shown: bool = False
    # What else must be in the log.
    says: str = ""
    # A word for the kernel's command line, and what the case is called with it.
    append: str = ""
    variant: str = ""
    flavour: str = ""
    module: str = BUGGY

    @property
    def path(self):
        return "/".join(filter(None, (self.flavour, self.module, self.name, self.variant)))

    @property
    def stale(self):
        """Whether a zspage is put back that is not isolated."""
        return self.module == BUGGY and self.name != "alone"


def on(flavour, *cases):
    """Each case as it is, and with the fix, which leaves no splat."""
    fixed = [Case(case.name, [], case.title, module=FIXED) for case in cases if not case.variant]
    return [dataclasses.replace(case, flavour=flavour) for case in [*cases, *fixed]]


# What the second unlock adds on a kernel with DEBUG_SPINLOCK and a preemption count.
UNLOCK = [RWLOCK_OWNER, ATOMIC]

CASES = on(
    "test",
    Case("alone", [], "nobody else is there: the stale pointer is never used", True),
    Case("double-add", [DOUBLE_ADD] + UNLOCK, "S is still the first on its list", True),
    Case("unseen", UNLOCK, "S is second on its list: no check of lists sees it"),
    Case("seen-later", UNLOCK + [LIST_DEL], "an innocent caller sees it later"),
    Case("next-null", [NEXT_NULL] + UNLOCK, "S is a zspage of another class by now", True),
    Case("next-null-compact", [NEXT_NULL] + UNLOCK, "the same, and B is a compaction"),
    Case("freed", UNLOCK, "S is free memory by now: no check of lists sees it"),
    # Zeroed memory is an empty zspage, and no lock.
    Case("freed", [RWLOCK_MAGIC, ATOMIC], "freed memory is zeroed",
         append="init_on_free=1", variant="init-on-free"),
    Case("freed-later", UNLOCK + [NEXT_NULL],
         "the slab allocator hands out the list heads as a zspage", True),
) + on(
    # lockdep reports the second unlock first, and then nothing more about locks;
    # DEBUG_PREEMPT does not let the preemption count go below zero.
    "lockdep",
    Case("alone", [], "nobody else is there"),
    Case("unseen", [UNLOCK_BALANCE], "lockdep alone sees it", True),
    Case("double-add", [DOUBLE_ADD, UNLOCK_BALANCE], "both see it"),
    Case("next-null", [NEXT_NULL, UNLOCK_BALANCE], "both see it"),
) + on(
    # Checks neither lists nor locks.
    "bench",
    Case("double-add", [ATOMIC], "nothing reports the list"),
    Case("unseen", [ATOMIC], "nor here"),
    Case("next-null", [OOPS], "NULL is followed"),
    Case("freed-later", [ATOMIC, OOPS], "and here"),
    Case("reader", [ATOMIC], "the second unlock does not take the lock from a reader", True,
         "after A's second unlock: lock word 0x200, somebody has it"),
)
