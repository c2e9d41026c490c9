"""The plots of a report, as PNG files in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from .read_curves import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Okabe and Ito's colours, which the colour-blind can tell apart, and dashes for print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Plot:
    """alt: says in words what there is to see."""

    png: bytes
    alt: str


def plot_curves(
    curves: dict[str, Curve],
    names: Sequence[str],
    *,
    x_label: str,
    y_label: str,
    log_y: bool = False,
) -> Plot:
    """One line a name. names: all of the report, so that each looks the same in every plot."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    for name, curve in curves.items():
        i = names.index(name)
        axes.plot(
            *zip(*curve, strict=True),
            label=name,
            color=COLOURS[i % len(COLOURS)],
            linestyle=DASHES[i % len(DASHES)],
            linewidth=1.8,
            marker="o" if len(curve) == 1 else None,
        )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if log_y:
        axes.set_yscale("log")
    axes.grid(color="#dddddd", linewidth=0.8)
    figure.legend(loc="outside right upper", frameon=False)
    alt = "; ".join(describe_curve(name, curve) for name, curve in curves.items())
    return Plot(to_png(figure), f"Line chart of {y_label} over {x_label}. {alt}.")


def to_png(figure: "Figure") -> bytes:
    """The figure as a file; it needs no display."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def describe_curve(name: str, curve: Curve) -> str:
    """Its ends and its extremes, in words."""
    heights = [y for _, y in curve]
    return (
        f"{name} goes from {heights[0]:.3g} to {heights[-1]:.3g}, "
        f"between {min(heights):.3g} and {max(heights):.3g}"
    )
