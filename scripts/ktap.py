# SPDX-License-Identifier: GPL-2.0
"""The results of the guest's tests, as the kernel's own tools/testing/kunit reads them."""

import importlib
import os
import re
import sys

BUILD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build")


def kunit(name):
    """A module of kunit.py, out of the source of a kernel that is here."""
    for source in ("linux", "stock/stock/source"):
        folder = os.path.join(BUILD, source, "tools", "testing", "kunit")
        if os.path.exists(folder) and folder not in sys.path:
            sys.path.append(folder)
    return importlib.import_module(name)


class Results:
    """Names of tests that have no tests within: FILE/FUNCTION, FILE/FUNCTION/PART."""

    def __init__(self, lines, out=None):
        """Reads all lines, and prints to `out` what kunit.py prints of them, as they come."""
        self.passed, self.failed, self.skipped = [], [], []
        self.reasons = {}
        parser = kunit("kunit_parser")
        parser.stdout = kunit("kunit_printer").Printer(out or sys.stdout)
        lines = self.noting_reasons(lines)
        main = parser.parse_run_tests(lines)
        # It stops at the last result; whoever writes the lines does not.
        for _ in lines:
            pass
        self.take(main, "")
        if main.counts.errors:
            self.failed.append(f"{main.counts.errors} errors in KTAP")

    def noting_reasons(self, lines):
        """The parser forgets why a test is left out."""
        for line in lines:
            match = re.search(r"\bok \d+ (\S+) # SKIP (.+)", line)
            if match:
                self.reasons.setdefault(match[1], []).append(match[2])
            yield line

    def take(self, test, path):
        for sub in test.subtests:
            name = path + (sub.name or "(missing)")
            if sub.subtests:
                failed = len(self.failed)
                self.take(sub, name + "/")
                if len(self.failed) == failed and not sub.ok_status():
                    self.failed.append(name)
            elif sub.status.name == "SUCCESS":
                self.passed.append(name)
            elif sub.status.name == "SKIPPED":
                why = self.reasons.get(sub.name)
                self.skipped.append(f"{name}: {why.pop(0)}" if why else name)
            else:
                self.failed.append(name)
