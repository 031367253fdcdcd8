"""One self-contained HTML page of a reproduction: opens from disk, asks the network for nothing, runs no script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeface.bench.reproduction import figures, svg, tables
from edgeface.bench.reproduction.photos import Photos
from edgeface.bench.reproduction.plan import KINDS
from edgeface.bench.reproduction.results import COMPARISON
from edgeface.files import write_text

_PAGE_STYLE = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1280px;padding:16px;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.25rem;margin-top:2.2rem}h3{font-size:1rem;margin:1.4rem 0 .4rem}
p,li{max-width:80ch}.soft{color:var(--soft);font-size:.9rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--rule);text-align:left;white-space:nowrap}
th{color:var(--soft);font-weight:600}td.number{text-align:right}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,370px),1fr));gap:16px;margin:0;padding:0}
summary{font-weight:600;margin:1.4rem 0 .4rem;cursor:pointer}
figure{margin:0;min-width:0}figcaption{font-size:.88rem;color:var(--soft);overflow-wrap:anywhere}
svg.chart{width:100%;height:auto;display:block;max-width:560px}
.bar{display:inline-block;height:.7rem;background:var(--c1);vertical-align:middle}
code{overflow-wrap:anywhere}.faces img{width:56px;height:56px;object-fit:cover;margin:2px}
"""


def render(out: Path, document: dict[str, Any], photos: Photos | None = None) -> str:
    """The page of a result document; `out` is where its answers are. With `photos`, confusions show photographs."""
    parts = [_table_part(out, table, photos) for table in document["tables"]]
    names = ", ".join(dict.fromkeys(table["data"] for table in document["tables"]))
    title = f"EdgeFace reproduction on {names}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{svg.STYLE}{_PAGE_STYLE}</style></head><body>"
        f"<h1>{html.escape(title)}</h1><p class=soft>{html.escape(_place(document))}</p>"
        f"{''.join(parts)}{_machine(document)}</body></html>\n"
    )


def write_figures(out: Path, document: dict[str, Any]) -> None:
    """The charts of every table as files, `figures/<table>-<what>.svg`. None of them holds a photograph."""
    for table in document["tables"]:
        for name, _, chart in _charts(table):
            write_text(out / "figures" / f"{table['table']}-{name}.svg", svg.standalone(chart))


def _table_part(out: Path, table: dict[str, Any], photos: Photos | None) -> str:
    remarks = "".join(f"<li>{html.escape(line)}</li>" for line in tables.remarks(table))
    parts = [f"<h2>{html.escape(tables.heading(table))}</h2>", _html_table(*tables.cells(table))]
    speeds = tables.speed_cells(table)
    if speeds is not None:
        parts.append(f"<h3>{tables.simulated_title(table)}</h3>" + _html_table(*speeds))
        parts.append(
            "<p class=soft>Estimates with their error bands; c: calibrated on published points, v: compiler.</p>"
        )
    parts += [f"<ul>{remarks}</ul>", _figures(table), _clouds(out, table), _confusions(table, photos), _chains(table)]
    return "".join(parts)


def _charts(table: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(name, caption in HTML, chart) of every chart of a table that has something to show."""
    charts = []
    curves = figures.learning_curves(table)
    if curves is not None:
        charts.append(("curves", "Validation accuracy after every epoch, a line a run.", curves))
    size = figures.against_size(table)
    if size is not None:
        charts.append(("size", "Mean validation accuracy against the size of the bundle's model.", size))
    for device in figures.devices(table):
        chart = figures.against_speed(table, device)
        if chart is not None:
            charts.append((f"fps-{device}", f"Mean validation accuracy against speed on {html.escape(device)}.", chart))
    return charts


def _figures(table: dict[str, Any]) -> str:
    items = [f"<figure>{chart}<figcaption>{caption}</figcaption></figure>" for _, caption, chart in _charts(table)]
    return f"<h3>Figures</h3><div class=charts>{''.join(items)}</div>" if items else ""


def _clouds(out: Path, table: dict[str, Any]) -> str:
    items = [
        f"<figure>{chart}<figcaption>{html.escape(title)}</figcaption></figure>"
        for title, chart in figures.clouds(out, table)
    ]
    if not items:
        return ""
    words = (
        "t-SNE by cosine; a colour and shape an identity, the same in every picture. "
        "Distances between clusters say little."
    )
    return _folding("Pre-logits of the networks", words, items, table)


def _confusions(table: dict[str, Any], photos: Photos | None) -> str:
    """The worst confusions of each row's first scored seed, as names and bars."""
    items = []
    for row in table["rows"]:
        run = next((run for run in row["runs"] if run["score"]), None)
        if run is None or not run["score"]["confusions"]:
            continue
        lines = "".join(
            _confusion(item, photos, table["data_hash"], run["key"]) for item in run["score"]["confusions"][:8]
        )
        caption = f"<figcaption>{html.escape(row['title'])}, seed {run['seed']}</figcaption>"
        items.append(f"<figure>{caption}<div class=scroll><table><tbody>{lines}</tbody></table></div></figure>")
    if not items:
        return ""
    words = "Who was taken for whom most often on validation images; bars are shares of the person's images."
    return _folding("Confusions", words, items, table)


def _folding(title: str, words: str, items: Sequence[str], table: dict[str, Any]) -> str:
    """Charts under a title; those of an ablation, which are many and alike, are folded away."""
    fold = " open" if table["table"] == COMPARISON else ""
    body = f"<p class=soft>{words}</p><div class=charts>{''.join(items)}</div>"
    return f"<details{fold}><summary>{title}</summary>{body}</details>"


def _confusion(item: dict[str, Any], photos: Photos | None, data_hash: str, key: str) -> str:
    share = (
        f"{item['count']} <span class=bar style='width:{80 * item['share']:.0f}px'></span> {100 * item['share']:.0f} %"
    )
    names = f"{html.escape(item['actual'])} &rarr; {html.escape(item['predicted'])}"
    faces = ""
    if photos is not None:
        images = photos.of(data_hash, key, item["actual"], item["predicted"])
        faces = "<div class=faces>" + "".join(f'<img alt="" src="{image}">' for image in images) + "</div>"
    return f"<tr><td>{names}{faces}</td><td>{share}</td></tr>"


def _chains(table: dict[str, Any]) -> str:
    """How every bundle came about: data, run, pruning where there was any, conversion, with accuracies."""
    rows = []
    for row in table["rows"]:
        for run in row["runs"]:
            for kind in KINDS:
                part = (run["score"] or {}).get(kind)
                if part is not None:
                    rows.append([f"{run['key']}-{part['mode']}", _chain(table, run, part), part["sha256"][:12]])
    if not rows:
        return ""
    return "<h3>Where the bundles come from</h3>" + _html_table(["bundle", "steps", "model SHA-256"], rows)


def _chain(table: dict[str, Any], run: dict[str, Any], part: dict[str, Any]) -> str:
    steps = [f"{table['data']} ({table['data_hash'][:8]})", f"trained {run['steps']} steps, recipe {table['recipe']}"]
    if run["teacher"]:
        steps[1] += f", taught by {run['teacher']}"
    for step in run["chain"]:
        known = {name: value for name, value in step.items() if value is not None and name != "build"}
        steps.append(" ".join(f"{name} {value}" for name, value in known.items()))
    accuracy = part["chain"]["accuracy"]
    figures_text = [f"{100 * accuracy[name]:.2f} %" for name in ("before", "after") if accuracy[name] is not None]
    steps.append(f"{part['mode']} {' to '.join(figures_text)} of {accuracy['images']} images")
    return " > ".join(steps)


def _place(document: dict[str, Any]) -> str:
    return (
        f"{document['date']}, EdgeFace {document['edgeface']}. Every figure of the tables is in the output of "
        "'edgeface report DIR --json'."
    )


def _machine(document: dict[str, Any]) -> str:
    machine = document["machine"]
    rows = [
        ["machine that wrote this page", _describe(machine)],
        *(
            [f"machine that measured the speed, {table['table']}", _describe(table["speed"]["machine"])]
            for table in document["tables"]
            if table["speed"] and table["speed"]["machine"]
        ),
        ["instruction sets", ", ".join(machine["features"])],
        ["system", machine["os"]],
        *([name, version] for name, version in document["versions"].items()),
        [
            "revisions that trained",
            ", ".join(revision[:12] for revision in document["git_revisions"]) or tables.UNKNOWN,
        ],
        *(["note", table["note"]] for table in document["tables"] if table["note"]),
    ]
    return "<h2>Machine and versions</h2>" + _html_table(["what", "which"], rows)


def _describe(machine: dict[str, Any]) -> str:
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['arch']}, {machine['memory_mb']} MB"


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = []
    for row in rows:
        cells = "".join(
            f"<td{' class=number' if cell[:1] in '+-0123456789' and cell != row[0] else ''}>{html.escape(cell)}</td>"
            for cell in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return f"<div class=scroll><table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
