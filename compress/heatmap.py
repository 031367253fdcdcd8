"""The sensitivity audit as a picture and as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeface.files import atomic_path


def columns(audit: dict[str, Any]) -> list[str]:
    """Names of the trials: int8, then the shares of pruning."""
    return ["int8", *(f"-{100 * share:g} %" for share in audit["shares"])]


def cells(row: dict[str, Any], audit: dict[str, Any]) -> list[dict[str, Any] | None]:
    """The trials of a row in the order of `columns`; None where a unit cannot be pruned alone."""
    return [row["int8"], *(row["prune"][f"{share:g}"] for share in audit["shares"])]


def table(audit: dict[str, Any]) -> str:
    """For a terminal: accuracy change in points, and the 1st percentile of the embedding cosine in brackets."""
    width = max(len("unit"), *(len(row["unit"]) for row in audit["rows"]))
    lines = [f"{'unit':<{width}}" + "".join(f"{name:>17}" for name in columns(audit))]
    for row in audit["rows"]:
        texts = [
            "-" if cell is None else f"{100 * cell['accuracy_change']:+.2f} ({cell['cosine']['p1']:.3f})"
            for cell in cells(row, audit)
        ]
        lines.append(f"{row['unit']:<{width}}" + "".join(f"{text:>17}" for text in texts))
    return "\n".join(lines)


def draw(audit: dict[str, Any], path: Path) -> None:
    """Write the heat map as PNG: accuracy change on the left, 1 - cosine at the 1st percentile on the right."""
    import numpy as np
    from matplotlib.figure import Figure

    rows, names = audit["rows"], columns(audit)
    losses = np.full((len(rows), len(names)), np.nan)
    angles = np.full_like(losses, np.nan)
    for y, row in enumerate(rows):
        for x, cell in enumerate(cells(row, audit)):
            if cell is not None:
                losses[y, x] = -100 * cell["accuracy_change"]
                angles[y, x] = 1 - cell["cosine"]["p1"]
    figure = Figure(figsize=(3.2 + 1.5 * len(names), 1.8 + 0.24 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values, title in (
        (left, losses, "accuracy lost, points"),
        (right, angles, "1 - embedding cosine (1st percentile)"),
    ):
        shown = axes.imshow(values, aspect="auto", cmap="magma_r", vmin=0, vmax=max(float(np.nanmax(values)), 1e-6))
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(rows)), [row["unit"] for row in rows], fontsize=7)
        axes.set_title(title, fontsize=9)
        figure.colorbar(shown, ax=axes)
    figure.suptitle(
        f"{audit['run']}: each {audit['by']} alone, {audit['images']} images of {audit['data']}", fontsize=9
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
