"""What was measured, as rows of tables and as a plot."""

from pathlib import Path

from .measure import Measured, Setting

Table = tuple[list[str], list[list[str]]]

#: Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def list_speeds(found: Measured) -> Table:
    """Words a second of each setting: the median and the range of its turns; and how much of the
    machine's limit that is."""
    header = ["precision", "threads", "batch_size", "n_process", "words/s", "range", "of limit"]
    rows = []
    for one in found.settings:
        share = f"{found.find_share(one):.0%}" if one.n_process == 1 else ""
        is_slow = len(one.words) == 1
        spread = "once" if is_slow else f"{min(one.words):,.0f}-{max(one.words):,.0f}"
        sizes = [str(size) for size in (one.threads, one.batch_size, one.n_process)]
        rows.append([one.precision, *sizes, f"{one.speed:,.0f}", spread, share])
    return header, rows


def list_latencies(found: Measured) -> Table:
    """Milliseconds for one short text."""
    header = ["precision", "threads", "p50 ms", "p95 ms", "p99 ms"]
    return header, [
        [one.precision, str(one.threads), *(f"{one.find_latency(p):.1f}" for p in (50, 95, 99))]
        for one in found.settings
        if one.latencies
    ]


def list_precisions(found: Measured) -> Table:
    """How near the vectors are to exact ones, what a process takes, and the limit of one thread."""
    header = ["precision", "mean cosine", "MB", "limit of one thread, GFLOP/s"]
    return header, [
        [p, f"{cosine:.4f}", f"{found.megabytes[p]:,.0f}", f"{found.limits[p][1] / 1e9:,.1f}"]
        for p, cosine in found.cosines.items()
    ]


def draw(found: Measured, chosen: Setting, path: Path, kind: str) -> None:
    """Write a plot of the speeds, the recommended one in bold. kind: "png" or "svg"."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.6 + 0.3 * len(found.settings)), layout="constrained")
    axes = figure.subplots()
    order = list(found.cosines)
    settings = sorted(found.settings, key=lambda one: one.speed)
    for y, one in enumerate(settings):
        ends = [[one.speed - min(one.words)], [max(one.words) - one.speed]]
        axes.barh(y, one.speed, xerr=ends, color=COLOURS[order.index(one.precision) % 4])
    names = [f"{s.precision}, {s.n_process} x {s.threads}, {s.batch_size}" for s in settings]
    axes.set_yticks(range(len(names)), names)
    axes.get_yticklabels()[settings.index(chosen)].set_fontweight("bold")
    axes.set_xlabel("words/s (precision, processes x threads, texts in a batch)")
    figure.savefig(path, format=kind)
