"""Draws what was measured: bench/creation.png and .svg, from the e2e tests' figures, and prints them as a table.

Peers' times are those that they publish, from other machines and with other ends: only the order of magnitude compares.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.ranks import percentile

ARTIFACTS = Path(os.environ.get("URUMI_ARTIFACTS", ".urumi/artifacts"))
SERIES = {
    "Medusa, from stock": "medusa: warm, POST to ready, seconds",
    "WooCommerce, from stock": "woocommerce: warm, POST to ready, seconds",
    "Medusa, from stock, through Knative": "knative: warm, click to ready, functions awake, seconds",
    "Medusa, from stock, all functions asleep": "knative: warm, click to ready, all asleep, seconds",
    "Medusa, cold": "medusa: cold, POST to ready, seconds",
    "WooCommerce, cold": "woocommerce: cold, POST to ready, seconds",
}
# What else stands in the table.
OTHERS = {
    "Medusa, from stock, right behind another": "knative: warm, click to ready, right behind another, seconds",
    "Medusa, removal": "medusa: DELETE to nothing left, seconds",
    "WooCommerce, removal": "woocommerce: DELETE to nothing left, seconds",
}
PEERS = (70.0, 480.0)  # seconds: what comparable projects publish for a store, the best and the slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("bench"))
    out: Path = parser.parse_args().out
    path = ARTIFACTS / "e2e-figures.json"
    if not path.exists():
        sys.exit(f"No stores were measured: {path} is not there. With KUBECONFIG set, `make bench` measures them.")
    figures: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8"))
    drawn = {name: figures[key] for name, key in SERIES.items() if key in figures}
    out.mkdir(exist_ok=True)
    (out / "stores.json").write_text(
        json.dumps({"system": platform.system(), "cpus": os.cpu_count(), "figures": figures}, indent=1) + "\n",
        encoding="utf-8",
    )
    print(f"{'seconds':<44}{'n':>4}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}")
    for name, values in (drawn | {name: figures[key] for name, key in OTHERS.items() if key in figures}).items():
        ranks = [statistics.median(values), percentile(values, 0.95), percentile(values, 0.99), max(values)]
        print(f"{name:<44}{len(values):>4}" + "".join(f"{value:8.2f}" for value in ranks))
    draw(drawn, out)


def draw(drawn: dict[str, list[float]], out: Path) -> None:
    """One row of points per series, each store a point, on a logarithmic axis of seconds."""
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.6 * len(drawn)), layout="constrained")
    for row, (name, values) in enumerate(drawn.items()):
        colour = "#b4540a" if "cold" in name else "#0f766e"
        axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.45, markersize=7)
        axes.plot(statistics.median(values), row, "|", color=colour, markersize=26, markeredgewidth=2.5)
    axes.axvspan(*PEERS, color="#888", alpha=0.18, linewidth=0)
    middle = (PEERS[0] * PEERS[1]) ** 0.5
    axes.text(
        middle, -0.62, "comparable projects,\nas they publish it", ha="center", va="center", fontsize=8, color="#444"
    )
    axes.set_yticks(range(len(drawn)), [f"{name} (n={len(values)})" for name, values in drawn.items()])
    axes.set_ylim(len(drawn) - 0.4, -1.1)
    axes.set_xscale("log")
    axes.set_xlim(0.3, 600)
    ticks = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("seconds from POST to ready; a bar is the median")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    for suffix in ("png", "svg"):
        figure.savefig(out / f"creation.{suffix}", dpi=150, metadata={"Date": None} if suffix == "svg" else None)


if __name__ == "__main__":
    main()
