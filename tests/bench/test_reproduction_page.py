"""The tables, figures and page of a reproduction whose runs are faked: an untrained network stands for all of them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeface.bench.reproduction import page, rows, tables
from edgeface.bench.reproduction.photos import open_photos
from edgeface.bench.reproduction.plan import Settings, bundle_name, make_plan
from edgeface.bench.reproduction.results import collect
from edgeface.bench.reproduction.score import keep_answers, score_bundle
from edgeface.bench.reproduction.state import write_plan
from edgeface.data.layouts import load_dataset

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RECIPE = "batch_size = 2\nimages_per_identity = 2\n[stage1]\nepochs = 3\n"


@pytest.fixture(scope="module")
def folder(tiny_run, tiny_bundles, tiny_photos, tmp_path_factory):
    """Every run of the comparison finished but one, which is cut short; the 1.0 ablation planned and not begun."""
    root = tmp_path_factory.mktemp("reproduction")
    data, out = _faces(root / "faces <b>&", tiny_photos), root / "out"
    (root / "mine.toml").write_text(RECIPE)
    dataset = load_dataset(data)
    settings = Settings("comparison", root / "mine.toml", "mine", seeds=2, quantize=True, note="Toy <faces> only.")
    plan = make_plan(settings, rows.comparison(), dataset, out)
    other = Settings("ablation-1.0", root / "mine.toml", "mine", seeds=1)
    for made in (plan, make_plan(other, rows.ablation("1.0"), dataset, out)):
        write_plan(out, made)
    answers = out / "scores" / "one.npz"
    confusions = keep_answers(answers, tiny_bundles["float32"], dataset, 1)
    scores = {kind: score_bundle(tiny_bundles[kind], dataset, 1) for kind in ("float32", "int8")}
    scores["int8"]["chain"]["source"]["quantization"] = {"epochs": plan.qat_epochs, "kept_epoch": 3}
    for number, run in enumerate(plan.runs):
        _write_run(out, plan, run, tiny_run, number, finished=run.key != plan.runs[-1].key)
        if run.key == plan.runs[-1].key:
            continue
        score = {"weights_sha256": f"{number}", "parameters": 1_106_456, "macs": 123_456_789, **scores}
        (out / "scores" / f"{run.key}.json").write_text(json.dumps({**score, "confusions": confusions}))
        shutil.copy(answers, out / "scores" / f"{run.key}.npz")
    (out / "bench").mkdir()
    (out / "bench" / "comparison.json").write_text(json.dumps(_speed(plan)))
    return out


def _faces(folder, photos):
    import cv2

    for split in ("train", "val"):
        for number in range(5):
            place = folder / split / f"person_{number}"
            place.mkdir(parents=True)
            for image in range(3):
                cv2.imwrite(str(place / f"{image}.png"), photos[(number + 3 * image + (split == "val")) % len(photos)])
    return folder


def _write_run(out, plan, run, tiny_run, number, *, finished):
    place = out / "runs" / run.key
    shutil.copytree(tiny_run, place)
    (place / "checkpoints").mkdir()
    (place / "checkpoints" / "checkpoint").write_text("x")
    shutil.copy(out / "recipes" / f"{run.key}.toml", place / "recipe.toml")
    curve = [
        {"stage": 1, "epoch": epoch, "global_step": 10 * (epoch + 1), "loss": 2.0 - epoch / 2,
         "val_accuracy": 0.2 + 0.2 * epoch + 0.01 * number}
        for epoch in range(3 if finished else 1)
    ]  # fmt: skip
    (place / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve))
    info = json.loads((place / "run.json").read_text())
    info |= {"network": run.architecture, "dataset": {"hash": plan.data_hash}, "seed": run.seed,
             "teacher": run.teacher and {"run": run.teacher}, "weights_sha256": f"{number}",
             "figures": {"finished": finished, "seconds": 12.0}, "git_revision": "0123456789abcdef",
             "versions": {"python": "3.11", "tensorflow": "2.21"}}  # fmt: skip
    if run.width is not None:
        info["build"]["width"] = run.width
    else:
        info["build"].pop("width")
    (place / "run.json").write_text(json.dumps(info))


def _speed(plan):
    """As `edgeface bench` writes it: this CPU, and a simulated board on which one network does not fit."""
    found = []
    for place, row in enumerate(plan.rows):
        run = plan.run(row["runs"][0])
        for kind, fps in (("float32", 10.0), ("int8", 30.0)):
            fps *= place + 1
            common = {"name": bundle_name(run, kind), "threads": 1}
            found.append({**common, "device": "cpu", "kind": "measured", "fps": fps, "batch": {"fps": 2 * fps}})
            fits = {"fps": fps / 5, "fps_band": [fps / 6, fps / 4]} if place else {"fps": None, "reason": "no room"}
            found.append({**common, "device": "board", "kind": "calibrated-estimate", **fits})
    return {"rows": found, "date": "2026", "machine": {}, "settings": {}, "warnings": ["noise: load average 3"]}


def test_the_comparison_table_has_size_speed_accuracy_and_spread(folder):
    document = collect(folder)
    comparison, ablation = document["tables"]
    head, lines = tables.cells(comparison)
    assert len(lines) == 10
    cells = dict(zip(head, lines[0], strict=True))
    assert (cells["network"], cells["type"], cells["seeds"]) == ("Inception-ResNet v1 (teacher)", "float32", "1")
    assert (cells["parameters"], cells["MMACs"]) == ("1,106,456", "123")
    assert (cells["fps, 1 thread"], cells["fps batch, 1 thread"], cells["test %"]) == ("10.0", "20.0", "-")
    assert cells["reference val %"] == "88.91"
    assert [line[1] for line in lines[:4]] == ["float32", "int8-ptq", "float32", "int8-qat"]
    assert "+-" in lines[2][head.index("val %")]
    assert lines[-1][head.index("seeds")] == "1"
    remarks = " ".join(tables.remarks(comparison))
    assert "2.0 float32: teacher-student minus plain +0.00 points" in remarks
    assert "Taught seeds share one teacher" in remarks
    assert "1.0-taught, seed 1: cut short after 1 epochs" in remarks
    assert "15 images of val" in remarks
    assert "noise: load average 3" in remarks
    # Rows that nothing was begun for are named, not shown empty.
    shown = {row[0] for row in tables.cells(ablation)[1]}
    (named,) = (line for line in tables.remarks(ablation) if line.startswith("Not begun: "))
    assert len(shown) == 12
    assert "arcface, seed 0" in named or "taught, seed 0" in named


def test_int8_bundles_of_other_epochs_are_no_part_of_a_rows_mean(folder, tmp_path):
    out = Path(shutil.copytree(folder, tmp_path / "out"))
    rows_before = {row["name"]: row for row in collect(out)["tables"][0]["rows"]}
    first, second = (run["key"] for run in rows_before["2.0-plain"]["runs"])
    for key, changes in ((first, {"epochs": 1}), (second, {"kept_epoch": 0})):
        path = out / "scores" / f"{key}.json"
        score = json.loads(path.read_text())
        score["int8"]["val"]["top1"] = 0.5
        score["int8"]["chain"]["source"]["quantization"] |= changes
        path.write_text(json.dumps(score))
    table = collect(out)["tables"][0]
    row = {row["name"]: row for row in table["rows"]}["2.0-plain"]
    assert rows_before["2.0-plain"]["figures"]["int8_val"]["n"] == row["figures"]["float32_val"]["n"] == 2
    assert row["figures"]["int8_val"] == {"mean": 0.5, "std": None, "n": 1}
    assert row["bytes"]["int8"] == rows_before["2.0-plain"]["bytes"]["int8"]
    remarks = tables.remarks(table)
    assert any(line.startswith("int8 left out") and line.endswith("again): 2.0-plain, seed 0.") for line in remarks)
    assert "int8-qat is the state before int8 training, no epoch of which was better: 2.0-plain, seed 1." in remarks
    assert "int8 left out" in page.render(out, collect(out))
    assert "int8" not in " ".join(tables.remarks(collect(folder)["tables"][0])).replace("int8-qat: teacher-student", "")


def test_an_estimate_stands_with_its_band_or_the_reason_why_there_is_none(folder):
    head, lines = tables.speed_cells(collect(folder)["tables"][0])
    assert head == ["network", "type", "board"]
    assert lines[0][2] == "no room"
    assert lines[2][2] == "4 (3.33-5) c"
    assert tables.simulated_title(collect(folder)["tables"][0]).endswith("frames a second, 1 thread")


def test_results_name_no_folder_of_this_machine(folder):
    assert str(folder.parent) not in json.dumps(collect(folder))


def test_markdown_has_every_table(folder):
    text = tables.markdown(collect(folder))
    assert text.count("\n## ") + text.startswith("## ") == 2
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("| ") and "SqNxt" in line}
    assert widths == {10, 2}


def test_the_page_is_self_contained_and_escapes_names(folder):
    text = page.render(folder, collect(folder))
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)", text)
    assert "<script" not in text
    assert "faces <b>&" not in text
    assert "faces &lt;b&gt;&amp;" in text
    assert text.count("<svg") >= 4 + 5
    assert "person_" in text
    assert "<img" not in text
    assert "tensorflow" in text
    assert "5 identities, 15 images of val, 3 a person" in text
    assert "frames a second on cpu (measured, 1 thread)" in text


def test_photographs_are_on_the_page_only_when_asked_for(folder):
    document = collect(folder)
    assert any(
        run["score"] and run["score"]["confusions"] for row in document["tables"][0]["rows"] for run in row["runs"]
    )
    photos = open_photos(folder, folder.parent / "faces <b>&")
    assert 'src="data:image/jpeg;base64,' in page.render(folder, document, photos)


def test_figures_are_files_that_stand_alone(folder):
    page.write_figures(folder, collect(folder))
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {f"comparison-{name}.svg" for name in ("curves", "size", "fps-cpu", "fps-board")} | {
        "ablation-1.0-curves.svg"
    }
    assert 'xmlns="http://www.w3.org/2000/svg"' in (folder / "figures" / "comparison-size.svg").read_text()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; install the system's package chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_chromium_shows_the_page_without_errors_and_without_sideways_scrolling(folder, tmp_path, scheme):
    (tmp_path / "report.html").write_text(page.render(folder, collect(folder)))
    frames = "".join(
        f'<iframe src="report.html" style="width:{width}px;height:900px"></iframe>' for width in (400, 1400)
    )
    measure = """onload = () => { document.title = JSON.stringify([...document.querySelectorAll('iframe')].map(
    frame => {
        const page = frame.contentDocument, body = frame.contentWindow.getComputedStyle(page.body);
        const small = [...page.querySelectorAll('svg.chart text')].map(text => text.getBoundingClientRect().height);
        return {wide: page.documentElement.scrollWidth - page.documentElement.clientWidth, ground: body.backgroundColor,
                smallest: Math.min(...small)};
    })); }"""
    (tmp_path / "frames.html").write_text(f"<!doctype html><body>{frames}<script>{measure}</script></body>")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--enable-logging=stderr"]
    flags += [
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
    ]
    shown = subprocess.run(
        [CHROMIUM, *flags, "--virtual-time-budget=5000", "--dump-dom", (tmp_path / "frames.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in shown.stderr
    title = re.search(r"<title>(.*?)</title>", shown.stdout)
    assert title, shown.stderr[-2000:]
    for frame in json.loads(title[1]):
        assert frame["wide"] <= 0
        assert frame["smallest"] >= 9
        assert frame["ground"] == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(15, 19, 24)")
