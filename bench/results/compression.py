"""The table of compression.sh: reads what its commands printed as JSON and writes compression.md and compression.json.

    python bench/results/compression.py WORK OUT          (WORK/*.json -> OUT/compression.md, OUT/compression.json)

What is not there yet is 'not measured'. Figures of several seeds are means with their standard deviation.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeface.files import write_json, write_text
from edgeface.model_card import NOT_MEASURED

Figures = dict[str, Any]


def main(work: Path, out: Path) -> None:
    """Write the table and the figures behind it."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(work.glob("*.json"))}
    figures = collect(results)
    write_json(out / "compression.json", {"figures": _public(figures), "results": _public(results)})
    write_text(out / "compression.md", render(figures))


def collect(results: dict[str, Any]) -> Figures:
    """Every figure of the table from the commands' results by name; None where one is missing."""
    base = next(iter(_seeds(results, "student-int8", lambda found: found["float_accuracy"]) or ()), None)

    def losses(kind: str) -> list[float] | None:
        accuracies = _seeds(results, f"{kind}-int8", lambda found: found["accuracy"])
        return None if accuracies is None or base is None else [100 * (base - value) for value in accuracies]

    def float_losses(kind: str) -> list[float] | None:
        accuracies = _seeds(results, f"{kind}-int8", lambda found: found["float_accuracy"])
        return None if accuracies is None or base is None else [100 * (base - value) for value in accuracies]

    modes = ("int8", "qat-alone", "qat-self", "qat-both", "qat-taught", "qat-gentle-alone", "qat-gentle-taught")
    return {
        "student_accuracy": base,
        "images": next(iter(_seeds(results, "student-int8", lambda found: found["images"]) or ()), None),
        "teacher": _teacher(results.pop("teacher", None)),
        "pruned60_long_loss": float_losses("pruned60-taught-long"),
        "pruned60_long_int8_loss": losses("pruned60-taught-long"),
        "student_long_loss": float_losses("student-long"),
        "pruned60_taught_loss": float_losses("pruned60-taught"),
        "pruned60_alone_loss": float_losses("pruned60-alone"),
        "pruned60_alone_long_loss": float_losses("pruned60-alone-long"),
        "machine": _machine(results.get("bench-pruned")),
        "pruned60_speedups": _ratios(results.get("bench-pruned"), "pruned60"),
        "pruned40_int8_loss": losses("pruned40-taught-long"),
        "pruned40_bytes": _seeds(results, "pruned40-taught-long-int8", lambda found: found["bytes"]),
        "modes": {
            mode: {
                "accuracy": _seeds(results, f"student-{mode}", lambda found: 100 * found["accuracy"]),
                "cosine_p1": _seeds(results, f"student-{mode}", lambda found: found["cosine"]["p1"]),
            }
            for mode in modes
        },
        "budget": results.pop("budget", None),
        "peer": _peer(results.get("bench-peer")),
        "peer_epochs": results.get("peer", {}).get("epochs"),
        "seconds_sensitivity": results.get("seconds-sensitivity", {}).get("wall"),
        "seconds_int8": results.get("seconds-timed-int8", {}).get("wall"),
        "seconds_qat": _qat_seconds(results.get("timed-qat")),
        "seconds_int8_parts": results.get("timed-int8", {}).get("seconds"),
        "seconds_qat_parts": results.get("timed-qat", {}).get("seconds"),
    }


def render(figures: Figures) -> str:
    """The figures as Markdown, each beside its target."""
    lines = ["| figure | target | measured | holds |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in _table_rows(figures)]
    base = figures["student_accuracy"]
    head = (
        f"1.0-SqNxt-23v5 on people51: {NOT_MEASURED if base is None else f'{100 * base:.2f} %'} top-1 in float32 on "
        f"{figures['images'] or 'its'} validation images. Teacher: {figures['teacher']}. Spread: standard deviation "
        "over the seeds of fine-tuning, all from one student. Trained on (recipe 'longer'): the one of 60 % for 60 "
        "epochs (seed 0 when --init began with random distillation heads, the others with fitted ones), that of 40 % "
        "for 20, the unpruned for 38; a negative loss is a gain. qat: one epoch at 1e-4; gentle: four at 3e-5 with "
        "BatchNorm's averages fixed; the best state is kept, be it that before training. fps: median of interleaved "
        f"rounds, 99 % interval in brackets; one thread of {figures['machine']}."
    )
    parts = [f"{name}: {_parts(figures[f'seconds_{key}_parts'])}" for name, key in (("int8", "int8"), ("qat", "qat"))]
    picture = (
        "Every block of the 1.0 quantized or narrowed alone, without training afterwards (`edgeface sensitivity`):"
    )
    drawn = ["", picture, "", "![sensitivity](compression-sensitivity.png)"] if figures["seconds_sensitivity"] else []
    times = f"Where the time goes, s. {'; '.join(parts)}."
    budget = _budget_lines(figures["budget"]) if figures["budget"] else []
    return "\n".join(["# Compression", "", head, "", *lines, "", times, *budget, *drawn, ""])


def _budget_lines(found: Figures) -> list[str]:
    """What `edgeface compress` tried for a budget, and what it chose."""
    last = "" if found["last_epochs"] is None else f" --last-epochs {found['last_epochs']}"
    columns = (
        ("accuracy", 100, 2, " %"), ("drop", 1, 2, ""), ("size", 1e-3, 0, ""), ("macs", 1e-6, 1, ""),
        ("speedup", 1, 2, "x"),
    )  # fmt: skip
    lines = [
        "",
        f'`edgeface compress student-1.0 --teacher teacher --budget "{", ".join(found["budget"])}"{last}`: chosen is '
        f"{found['chosen'] or 'none'} (one run; fps against the unpruned int8, both on one thread):",
        "",
        "| try | top-1 | lost, points | KB | million MACs | fps, times int8 | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["tries"]:
        cells = [
            "" if row[name] is None else f"{scale * row[name]:.{digits}f}{unit}"
            for name, scale, digits, unit in columns
        ]
        lines.append(f"| {' | '.join([row['try'], *cells, row['verdict']])} |")
    return [*lines, "", "![front](compression-front.png)"]


def _table_rows(figures: Figures) -> list[tuple[str, str, str, str]]:
    """Figure, target, measured, whether it holds."""
    taught, alone = figures["pruned60_taught_loss"], figures["pruned60_alone_loss"]
    taught_long, alone_long = figures["pruned60_long_loss"], figures["pruned60_alone_long_loss"]
    size = figures["pruned40_bytes"]
    peer, speeds = figures["peer"], figures["pruned60_speedups"]
    return [
        (
            "1.0 pruned to 60 % of MACs, taught and trained on: accuracy lost, points",
            "<= 1.0",
            *_judged(taught_long, 1.0),
        ),
        (
            "1.0 pruned to 60 % without a teacher, trained on as long: accuracy lost, points",
            "more than taught",
            _spread(alone_long),
            _helps(taught_long, alone_long),
        ),
        ("the taught one in int8", "", _spread(figures["pruned60_long_int8_loss"]), ""),
        ("its int8 fps, times the unpruned int8", ">= 1.3x", _times(speeds), _least(_mean(speeds), 1.3)),
        (
            "the unpruned student, trained on as well: accuracy lost, points",
            "",
            _spread(figures["student_long_loss"]),
            "",
        ),
        ("pruned to 60 %, taught, not trained on: accuracy lost, points", "", _spread(taught), ""),
        (
            "pruned to 60 % without a teacher, not trained on: accuracy lost, points",
            "",
            _spread(alone),
            "",
        ),
        (
            "1.0 pruned to 40 % of MACs, taught and trained on, int8: accuracy lost, points",
            "<= 3",
            *_judged(figures["pruned40_int8_loss"], 3.0),
        ),
        ("its file, KB", "<= 600", _spread(size and [one / 1e3 for one in size], 0), _most(size, 600e3)),
        *_mode_rows(figures["modes"]),
        (
            "1.0 int8 against MobileFaceNet int8, 112 px, one thread: fps",
            ">= 4x",
            _times([peer["ratio"]] if peer else []),
            _least(peer and peer["ratio"]["value"], 4.0),
        ),
        (
            f"their accuracy, trained alike for {figures['peer_epochs'] or 'N'} epochs, 1.0 / MobileFaceNet",
            "same row",
            peer["accuracy"] if peer else NOT_MEASURED,
            "",
        ),
        (
            "quantize --mode int8 of 1.0 at 112 px, whole command, s",
            "<= 90",
            *_judged(figures["seconds_int8"], 90.0, 0),
        ),
        ("qat conversion without training, s", "<= 120", *_judged(figures["seconds_qat"], 120.0, 0)),
        ("sensitivity of the 1.0, whole command, s", "minutes", *_judged(figures["seconds_sensitivity"], 600.0, 0)),
    ]


def _public(value: Any) -> Any:
    """Without the paths of the machine that the figures were measured on."""
    if isinstance(value, dict):
        return {key: _public(entry) for key, entry in value.items() if key not in ("bundle", "run")}
    if isinstance(value, list):
        return [_public(entry) for entry in value]
    return value


def _seeds(results: dict[str, Any], name: str, read: Callable[[dict[str, Any]], float]) -> list[float] | None:
    """One figure of `name` and of `name-sN`, over the seeds that there are."""
    found = [read(results[key]) for key in sorted(results) if key == name or key.startswith(f"{name}-s")]
    return found or None


def _teacher(run: dict[str, Any] | None) -> str:
    """What taught, from its `run.json`."""
    if run is None:
        return NOT_MEASURED
    width = run["build"].get("width")
    network = run["network"] if width is None else f"{width:.1f}-SqNxt-23v5"
    return f"{network} of {100 * run['figures']['val_accuracy']:.2f} %"


def _machine(bench: dict[str, Any] | None) -> str:
    """The CPU of a bench, and whether it has the instructions that int8 gains most from."""
    if bench is None or "machine" not in bench:
        return "a CPU that is not known"
    has = [name for name in bench["machine"].get("features", []) if "vnni" in name]
    return f"{bench['machine']['cpu']}, {'with ' + ', '.join(has) if has else 'without int8 dot products (VNNI)'}"


def _ratios(bench: dict[str, Any] | None, name: str) -> list[dict[str, float]]:
    """The speeds of the rows whose names begin so, times the first row's."""
    return [] if bench is None else [row["ratio"] for row in bench["rows"][1:] if row["name"].startswith(name)]


def _peer(bench: dict[str, Any] | None) -> dict[str, Any] | None:
    """MobileFaceNet is the first row, so that the ratio of 1.0 is to it."""
    if bench is None:
        return None
    peer, own = bench["rows"][:2]
    shown = [f"{100 * row['accuracy']['top1']:.2f} %" if row["accuracy"] else NOT_MEASURED for row in (own, peer)]
    return {"ratio": own["ratio"], "accuracy": " / ".join(shown)}


def _qat_seconds(found: dict[str, Any] | None) -> float | None:
    return None if found is None else sum(value for name, value in found["seconds"].items() if name != "training")


def _mode_rows(modes: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    titles = {
        "int8": "int8 without training: top-1, %",
        "qat-self": "qat taught by its own float network: top-1, %",
        "qat-both": "qat taught by that and the teacher: top-1, %",
        "qat-alone": "qat without a teacher: top-1, %",
        "qat-taught": "qat with the teacher: top-1, %",
        "qat-gentle-alone": "gentle qat without a teacher: top-1, %",
        "qat-gentle-taught": "gentle qat with the teacher: top-1, %",
    }
    accuracy = {mode: found["accuracy"] for mode, found in modes.items()}
    rows = []
    for mode, title in titles.items():
        rivals = [accuracy["int8"], accuracy.get(mode.replace("taught", "alone"))] if "taught" in mode else []
        holds = ""
        if rivals and all(rivals) and accuracy[mode]:
            best = max(statistics.mean(rival) for rival in rivals)
            holds = _yes(statistics.mean(accuracy[mode]) >= best - 1e-9)
        target = "not worse than int8, qat alone" if rivals else ""
        rows.append((title, target, _spread(accuracy[mode]), holds))
        if rivals:
            cosine = modes[mode]["cosine_p1"]
            least = min(cosine) if cosine else None
            title = "its embedding cosine to float, 1st percentile"
            rows.append((title, ">= 0.98", _spread(cosine, 4), _least(least, 0.98)))
    return rows


def _judged(value: float | Sequence[float] | None, most: float, digits: int = 2) -> tuple[str, str]:
    values = [value] if isinstance(value, (int, float)) else value
    return _spread(values, digits), _most(values, most)


def _spread(values: Sequence[float] | None, digits: int = 2) -> str:
    if not values:
        return NOT_MEASURED
    if len(values) == 1:
        return f"{values[0]:.{digits}f} (one run)"
    return f"{statistics.mean(values):.{digits}f} +- {statistics.stdev(values):.{digits}f} ({len(values)} runs)"


def _times(ratios: Sequence[dict[str, float]]) -> str:
    if len(ratios) > 1:
        return _spread([ratio["value"] for ratio in ratios], 3)
    return f"{ratios[0]['value']:.2f}x ({ratios[0]['low']:.2f}-{ratios[0]['high']:.2f})" if ratios else NOT_MEASURED


def _mean(ratios: Sequence[dict[str, float]]) -> float | None:
    return statistics.mean(ratio["value"] for ratio in ratios) if ratios else None


def _most(values: Sequence[float] | None, limit: float) -> str:
    return _yes(statistics.mean(values) <= limit + 1e-9) if values else ""


def _least(value: float | None, limit: float) -> str:
    return "" if value is None else _yes(value >= limit)


def _helps(taught: Sequence[float] | None, alone: Sequence[float] | None) -> str:
    return _yes(statistics.mean(alone) > statistics.mean(taught)) if taught and alone else ""


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"


def _parts(seconds: dict[str, float] | None) -> str:
    return NOT_MEASURED if not seconds else ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
