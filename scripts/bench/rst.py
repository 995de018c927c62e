# SPDX-License-Identifier: GPL-2.0
"""The tables as reStructuredText, for Documentation/performance.rst to include."""


def number(value):
    """Formats a number with four digits, without an exponent below a million."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if 1000 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.4g}"


def table(title, head, rows):
    """Formats a list-table, whose cells need no padding."""
    lines = [f".. list-table:: {title}", "   :header-rows: 1", ""]
    for row in [head, *rows]:
        for i, cell in enumerate(row):
            lines.append(f"   {'*' if i == 0 else ' '} - {cell}".rstrip())
    return "\n".join(lines) + "\n"


def main_table(rows):
    out = []
    for row in rows:
        goal = "" if row["goal"] is None else str(row["goal"])
        met = {None: "", True: "yes", False: "**no**"}[row["met"]]
        out.append([row["measure"], number(row["c"]), number(row["rust"]),
                    f"{row['ratio']:.3f}", goal, met, row["note"]])
    return table("All measures", ["measure", "C", "Rust", "ratio", "goal", "met", ""], out)


def growth_table(results):
    names = ("malloc", "churn", "map", "free", "compact")
    rows = [[objects, *(f"{of[name]['c']:.0f} / {of[name]['rust']:.0f}" for name in names)]
            for objects, of in results.items()]
    return table("Instructions by the number of objects, C / Rust",
                 ["objects", "malloc, empty pool", "free + malloc", "map + unmap", "free",
                  "compaction, per page freed"], rows)


def density_table(results):
    rows = []
    for name, of in results.items():
        if name == "empty":
            continue
        for objects, states in of.items():
            cells = []
            for state in ("fresh", "freed", "compacted"):
                for what in ("bare", "all"):
                    one = states[f"{state}_{what}"]
                    cells.append(f"{one['c'] - 1:.4f} / {one['rust'] - 1:.4f}")
            rows.append([name, objects, *cells])
    return table("Pool bytes above stored bytes, C / Rust; the second of each with metadata",
                 ["sizes", "objects", "fresh", "", "60 % freed", "", "compacted", ""], rows)


def text(data):
    """Formats all tables of bench.json."""
    parts = [".. SPDX-License-Identifier: GPL-2.0", ".. Written by scripts/bench/main --rst.", ""]
    made = sorted({f"``{of['commit']}`` ({of['date']})" for of in data["made"].values()})
    parts.append(f"Measured at {', '.join(made)}.\n")
    parts.append(main_table(data["table"]))
    if "growth" in data["results"]:
        parts.append(growth_table(data["results"]["growth"]))
    if "density" in data["results"]:
        parts.append(density_table(data["results"]["density"]))
    return "\n".join(parts)
