"""The plots of a report, as PNG files in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from .curves import Curve
from .inputs import LearnedMix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
    from matplotlib.ticker import EngFormatter

    figure, axes = new_figure(height=3.8)
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


def plot_mixes(mixes: Sequence[LearnedMix]) -> Plot:
    """One bar a run, divided by layers."""
    from matplotlib import colormaps

    n_layers = max(len(mix.shares) for mix in mixes)
    figure, axes = new_figure(height=max(1.1 + 0.42 * len(mixes), 0.6 + 0.22 * n_layers))
    for layer in range(n_layers):
        having = [mix for mix in mixes if layer < len(mix.shares)]
        lightness = layer / max(n_layers - 1, 1)
        bars = axes.barh(
            [mix.label for mix in having],
            [100 * mix.shares[layer] for mix in having],
            left=[100 * sum(mix.shares[:layer]) for mix in having],
            color=colormaps["viridis"](0.1 + 0.85 * lightness),
            label="layer 0 (context-free)" if layer == 0 else f"layer {layer}",
        )
        texts = [f"{bar.get_width():.0f}" if bar.get_width() >= 5 else "" for bar in bars]
        colour = "black" if lightness >= 0.5 else "white"
        axes.bar_label(bars, texts, label_type="center", color=colour, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the layer (%)")
    figure.legend(loc="outside right upper", frameon=False)
    alt = "; ".join(describe_mix(mix) for mix in mixes)
    return Plot(to_png(figure), f"Bar chart of the shares of layers. {alt}.")


def new_figure(height: float) -> "tuple[Figure, Axes]":
    """A figure of a page's width, and height inches; it needs no display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def to_png(figure: "Figure") -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def describe_curve(name: str, curve: Curve) -> str:
    """Its ends and its extremes, in words."""
    heights = [y for _, y in curve]
    return (
        f"{name} goes from {heights[0]:.3g} to {heights[-1]:.3g}, "
        f"between {min(heights):.3g} and {max(heights):.3g}"
    )


def describe_mix(mix: LearnedMix) -> str:
    """Its strongest layer, in words."""
    best = max(range(len(mix.shares)), key=lambda layer: mix.shares[layer])
    return f"{mix.label} has most of layer {best}, {100 * mix.shares[best]:.1f} %"
