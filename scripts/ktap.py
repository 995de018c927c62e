# SPDX-License-Identifier: GPL-2.0
"""Reads the results of the guest's tests with the parser of the kernel's kunit.py."""

import glob
import importlib
import os
import re
import sys

BUILD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build")


def kunit(name):
    """Import a module from tools/testing/kunit of an unpacked kernel."""
    for source in ("linux", "linux-*", "stock/*/source"):
        for folder in sorted(glob.glob(os.path.join(BUILD, source, "tools/testing/kunit"))):
            if folder not in sys.path:
                sys.path.append(folder)
    return importlib.import_module(name)


class Results:
    """Names of tests without subtests, FILE/FUNCTION or FILE/FUNCTION/SUBTEST; also of those
    that fail although none of their subtests does."""

    def __init__(self, lines, out=None):
        """Parse all lines, and print results to `out` as kunit.py does."""
        self.passed, self.failed, self.skipped = [], [], []
        self.reasons = {}
        parser = kunit("kunit_parser")
        printer, out = kunit("kunit_printer").Printer, out or sys.stdout
        lines = self.noting_reasons(lines)
        if hasattr(parser, "stdout"):
            parser.stdout = printer(out)
            main = parser.parse_run_tests(lines)
        else:
            # Of Linux 7.
            main = parser.parse_run_tests(lines, printer(output=out))
        # The parser stops at the last result, but the guest goes on.
        for _ in lines:
            pass
        self.take(main, "")
        if main.counts.errors:
            self.failed.append(f"{main.counts.errors} errors in KTAP")

    def noting_reasons(self, lines):
        """The parser drops the reason why a test was skipped."""
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
