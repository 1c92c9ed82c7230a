"""Tables of what was measured: for the terminal, and for docs/performance.md.

A figure is the median of its rounds; its spread is half the distance between the
quartiles, in percent of the median.  A ratio is the median of the ratios of each
round, in which both sides met the same noise.
"""
import statistics

# What a row must reach: the other side, and at least (+) or at most (-).
MUST = {
    "process/s, concurrency 1": ("asynq", +2.0),
    "process/s, concurrency 10": ("asynq", +3.0),
    "process/s, concurrency 100": ("asynq", +6.0),
    "finish/s, 10000 in flight": ("asynq", +5.0),
    "process/s beside 10000 waiting": ("asynq", +2.0),
    "enqueue/s, one by one": ("asynq", +1.6),
    "enqueue/s, 8 producers batched": ("asynq", +4.0),
    "worker CPU s per 100k, at 1": (None, -2.0),
    "worker CPU s per 100k, at 10": (None, -2.0),
    "worker CPU s per 100k, at 100": (None, -2.0),
    "enqueue -> start ms at 200/s, p50": ("blpop", -3.0),
    "enqueue -> start ms at 200/s, p99": ("blpop", -3.0),
    "scheduled: ms late, p99": (None, -50.0),
    "idle: RSS MB": (None, -16.0),
    "RSS MB, 10000 in flight": (None, -60.0),
    "handler save -> live, ms": (None, -300.0),
}


def number(value):
    return "%.0f" % value if value >= 1000 else "%.3g" % value


def spread(values):
    """In percent, or None when there are too few."""
    middle = statistics.median(values)
    if len(values) < 4 or not middle:
        return None
    quartiles = statistics.quantiles(values, n=4)
    return (quartiles[2] - quartiles[0]) / 2 / middle * 100


def ratio(row, a, b):
    """Paired by round; None without both."""
    if not row.get(a) or not row.get(b) or len(row[a]) != len(row[b]):
        return None
    pairs = [x / y for x, y in zip(row[a], row[b]) if y]
    return statistics.median(pairs) if pairs else None


def verdict(name, row):
    """Of a row with a "must": the words, and whether it is met; else None."""
    other, bound = MUST.get(name, (None, None))
    if bound is None or "lunaq" not in row:
        return None
    value = ratio(row, "lunaq", other) if other else statistics.median(
        row["lunaq"])
    if value is None:
        return None
    met = value >= bound if bound > 0 else value <= -bound
    words = "%s %g" % (">=" if bound > 0 else "<=", abs(bound))
    return (words + " x " + other if other else words), met


def cells(name, row, sides):
    """Of a line: figures, ratios, verdict, as text."""
    out = []
    for side in sides:
        values = row.get(side)
        percent = spread(values) if values else None
        out.append("" if not values else number(statistics.median(values)) + (
            "" if percent is None else " ±%.0f%%" % percent))
    for other in ("asynq", "bullmq"):
        value = ratio(row, "lunaq", other)
        out.append("" if value is None else "%.2f" % value)
    must = verdict(name, row)
    out.append("" if must is None else "%s: %s" % (
        must[0], "met" if must[1] else "MISSED"))
    return out


def head(sides):
    return ["", *sides, "lunaq/asynq", "lunaq/bullmq", "must"]


def table(results, sides):
    lines = [head(sides)] + [[name] + cells(name, row, sides)
                             for name, row in results.items()]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(
        cell.ljust(w) if i in (0, len(widths) - 1) else cell.rjust(w)
        for i, (cell, w) in enumerate(zip(line, widths))).rstrip()
        for line in lines)


def markdown(results, sides):
    lines = [head(sides), ["---"] + ["---:"] * (len(sides) + 2) + ["---"]]
    lines += [[name] + cells(name, row, sides) for name, row in results.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
