"""Planning a table, running its runs, and what is made of their figures. No network is trained here."""

import json
import math
import os
import signal
import sys
import threading
import time
from dataclasses import replace

import pytest

from edgeface.bench.reproduction import estimate, page, rows, svg, tables
from edgeface.bench.reproduction.execute import Workshop, execute, locked
from edgeface.bench.reproduction.photos import open_photos
from edgeface.bench.reproduction.plan import (
    PlannedRun,
    Settings,
    make_plan,
    read_plans,
    run_key,
    state_of,
    write_plan,
)
from edgeface.bench.reproduction.results import collect, difference, summary, taught_gaps
from edgeface.bench.reproduction.score import is_complete, pick_images
from edgeface.bench.reproduction.speed import checked_devices, measure_speed
from edgeface.data.layouts import load_dataset
from edgeface.errors import DataError, RecipeError, RunError, UsageError
from edgeface.recipe import Recipe, Stage, load_recipe

import numpy as np  # isort: skip

RECIPE = """
batch_size = 8
[distillation]
views = 2
[stage0]
epochs = 1
[stage1]
epochs = 2
basic_augmentation = true
center_loss = 1e-5
pre_logit_norm = 1e-5
[stage2]
epochs = 1
basic_augmentation = true
seaweed = true
center_loss = 1e-4
pre_logit_norm = 1e-4
hard_instance_mining = true
triplet = 0.5
[teacher.stage1]
epochs = 5
"""


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    return Settings("comparison", path, "mine", seeds=2, quantize=True)


@pytest.fixture
def plan(settings, tiny_data, tmp_path):
    made = make_plan(settings, rows.comparison(), load_dataset(tiny_data), tmp_path / "out")
    write_plan(tmp_path / "out", made)
    return made


def ablated(settings, name):
    row = next(row for row in rows.ablation("1.0") if row.name == name)
    return load_recipe(settings.recipe, row.role, list(row.overrides))


def test_ablation_rows_take_parts_out_and_leave_the_epochs_alone(settings):
    nothing, basic, full = (ablated(settings, name) for name in ("nothing", "basic+center", "all"))
    assert full == load_recipe(settings.recipe, "student")
    for stage in nothing.stages:
        assert stage == Stage(epochs=stage.epochs, learning_rate=stage.learning_rate)
    assert (basic.stage2.basic_augmentation, basic.stage2.center_loss) == (True, 1e-4)
    assert (basic.stage2.seaweed, basic.stage2.pre_logit_norm, basic.stage2.triplet) == (False, 0.0, 0.0)
    epochs = {tuple(stage.epochs for stage in ablated(settings, row.name).stages) for row in rows.ablation("1.0")}
    assert epochs == {(1, 2, 1)}


def test_the_reference_rows_have_the_reference_figures():
    teacher = {row.name: row.reference[0] for row in rows.ablation("teacher")}
    assert (teacher["basic"], teacher["all"]) == (0.674, 0.8891)
    assert not any(row.taught for row in rows.ablation("teacher"))
    assert sum(row.group == "reference" for row in rows.ablation("1.0")) == 7
    assert {row.name: row.reference[0] for row in rows.comparison()}["2.0-taught"] == 0.8598


def test_rows_are_chosen_by_name_or_group_and_a_wrong_name_lists_them():
    table = rows.ablation("1.0")
    assert [row.name for row in rows.chosen(table, ["arcface", "basic"])] == ["basic", "arcface"]
    assert len(rows.chosen(table, ["reference"])) == 7
    with pytest.raises(UsageError, match="basic\\+seaweed"):
        rows.chosen(table, ["basics"])


def test_a_key_follows_from_network_recipe_data_seed_and_teacher():
    recipe = Recipe(stage1=Stage(epochs=3))
    key = run_key("1.0", recipe, "data", 0, None)
    assert key.startswith("1.0-plain-seed0-")
    assert key == run_key("1.0", replace(recipe, description="other words"), "data", 0, None)
    assert key == run_key("1.0", replace(recipe, distillation=replace(recipe.distillation, views=3)), "data", 0, None)
    others = {
        run_key("2.0", recipe, "data", 0, None),
        run_key("1.0", replace(recipe, dropout=0.3), "data", 0, None),
        run_key("1.0", recipe, "other", 0, None),
        run_key("1.0", recipe, "data", 1, None),
        run_key("1.0", recipe, "data", 0, "teacher"),
    }
    assert len(others | {key}) == 6


def test_a_plan_has_the_teacher_once_and_students_by_seed(plan, tmp_path):
    assert [(run.row, run.seed) for run in plan.runs] == [
        ("teacher", 0), ("2.0-plain", 0), ("2.0-plain", 1), ("2.0-taught", 0), ("2.0-taught", 1),
        ("1.0-plain", 0), ("1.0-plain", 1), ("1.0-taught", 0), ("1.0-taught", 1),
    ]  # fmt: skip
    teacher = plan.runs[0]
    assert {run.teacher for run in plan.runs} == {None, teacher.key}
    assert (teacher.quantize, plan.runs[1].quantize) == ("int8", "qat")
    assert read_plans(tmp_path / "out") == (plan,)
    assert [run.row for run in plan.of_rows({"1.0-taught"})] == ["teacher", "1.0-taught", "1.0-taught"]


def test_the_ablations_whole_recipe_is_the_comparisons_plain_run(plan, settings, tiny_data, tmp_path):
    table = rows.ablation("1.0")
    other = make_plan(
        replace(settings, table="ablation-1.0", seeds=1), table, load_dataset(tiny_data), tmp_path / "out"
    )
    whole = next(row["runs"][0] for row in other.rows if row["name"] == "all")
    assert whole == next(run.key for run in plan.runs if run.row == "1.0-plain")
    write_plan(tmp_path / "out", other)
    assert [found.table for found in read_plans(tmp_path / "out")] == ["ablation-1.0", "comparison"]


def test_rows_that_a_recipe_trains_alike_share_a_run_and_the_table_says_so(settings, tiny_data, tmp_path):
    idle = replace(settings, table="ablation-1.0", overrides=("stage2.epochs=0", "schedule='exponential'"), seeds=1)
    plan = make_plan(idle, rows.ablation("1.0"), load_dataset(tiny_data), tmp_path)
    write_plan(tmp_path, plan)
    keys = {row["name"]: row["runs"][0] for row in plan.rows}
    assert plan.alike() == [
        ["basic", "basic+seaweed"],
        ["basic+center", "basic+seaweed+center"],
        ["basic+seaweed+center+norm", "all", "no-warm-up", "exponential"],
    ]
    assert len({keys["nothing"], keys["basic"], keys["basic+center"], keys["all"]}) == 4
    assert keys["all"] == run_key(
        "1.0", load_recipe(idle.recipe, "student", list(idle.overrides)), plan.data_hash, 0, None
    )
    assert plan.run(keys["all"]).row == "all"
    remarks = tables.remarks(collect(tmp_path)["tables"][0])
    assert any("basic, basic+seaweed: recipe mine trains them alike" in line for line in remarks)


def test_students_of_another_size_than_their_teacher_are_refused_before_the_teacher_is_trained(
    settings, tiny_data, tmp_path
):
    settings.recipe.write_text(RECIPE + "[student]\nsize = 64\n")
    with pytest.raises(RecipeError, match="sees 96 px and its students 64 px"):
        make_plan(settings, rows.comparison(), load_dataset(tiny_data), tmp_path / "out")


def write_run(out, plan, run, *, finished, epochs=1, recipe=None, **changes):
    folder = out / "runs" / run.key
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint").write_text("x")
    (folder / "recipe.toml").write_text(recipe or (out / "recipes" / f"{run.key}.toml").read_text())
    (folder / "metrics.jsonl").write_text("{}\n" * epochs)
    info = {"dataset": {"hash": plan.data_hash}, "build": {} if run.width is None else {"width": run.width}}
    info |= {"seed": run.seed, "figures": {"finished": finished}} | changes
    (folder / "run.json").write_text(json.dumps(info))


def test_states_of_runs_and_what_an_adopted_one_has_otherwise(plan, tmp_path):
    out = tmp_path / "out"
    teacher, plain = plan.runs[0], plan.runs[1]
    assert state_of(out, plan, teacher).name == "new"
    write_run(out, plan, plain, finished=False, epochs=2)
    assert (state_of(out, plan, plain).name, state_of(out, plan, plain).epochs) == ("cut short", 2)
    text = (out / "recipes" / f"{teacher.key}.toml").read_text().replace("epochs = 5", "epochs = 9")
    write_run(out, plan, teacher, finished=True, recipe=text)
    state = state_of(out, plan, teacher)
    assert state.name == "finished"
    assert state.differences == ("stage1.epochs 9, planned 5",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 7}, "seed"),
        ({"dataset": {"hash": "other"}}, "data"),
        ({"build": {"width": 0.5}}, "network"),
        ({"teacher": {"run": "x"}}, "teaching"),
    ],
)
def test_a_run_of_something_else_is_refused(plan, tmp_path, changes, says):
    write_run(tmp_path / "out", plan, plan.runs[1], finished=True, **changes)
    with pytest.raises(RunError, match=f"other {says}"):
        state_of(tmp_path / "out", plan, plan.runs[1])


def test_a_damaged_plan_and_an_empty_folder_are_refused(plan, tmp_path):
    with pytest.raises(RunError, match="edgeface reproduce"):
        read_plans(tmp_path / "nothing")
    path = tmp_path / "out" / "plans" / "comparison.json"
    path.write_text(path.read_text()[:200])
    with pytest.raises(RunError, match="damaged"):
        read_plans(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs/{key}/run.json", '{"dataset": null}'),
        ("scores/{key}.json", "[]"),
        ("scores/{key}.json", '{"weights_sha256": "w"}'),
        ("scores/{key}.npz", "no archive"),
        ("bench/comparison.json", "{}"),
        ("plans/comparison.json", '{"format": "edgeface-reproduction-plan", "version": 1, "rows": ["x"], "runs": []}'),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(plan, tmp_path, name, text):
    out, run = tmp_path / "out", plan.runs[1]
    write_run(out, plan, run, finished=True, weights_sha256="w")
    part = {"bytes": 1, "sha256": "a" * 64, "mode": "float32", "val": None, "test": None,
            "chain": {"accuracy": {"before": None, "after": None, "images": 0}}}  # fmt: skip
    score = {"weights_sha256": "w", "parameters": 1, "macs": 1, "confusions": [], "float32": part}
    (out / "scores").mkdir()
    (out / "scores" / f"{run.key}.json").write_text(json.dumps(score))
    page.render(out, collect(out))
    path = out / name.format(key=run.key)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(RunError, match=r"damaged.*; (remove|move|run)"):
        page.render(out, collect(out))


def test_a_run_with_a_damaged_bundle_is_not_complete_and_no_error(plan, tmp_path):
    out, run = tmp_path / "out", plan.runs[1]
    write_run(out, plan, run, finished=True, weights_sha256="w")
    for folder in ("scores", f"bundles/{run.key}-float32"):
        (out / folder).mkdir(parents=True)
    score = {"weights_sha256": "w", "parameters": 1, "macs": 1, "confusions": []}
    (out / "scores" / f"{run.key}.json").write_text(json.dumps(score))
    (out / "scores" / f"{run.key}.npz").write_text("")
    (out / "bundles" / f"{run.key}-float32" / "bundle.json").write_text("{")
    assert not is_complete(out, plan, run)


def test_photographs_of_other_data_are_refused(plan, tmp_path):
    other = tmp_path / "other"
    for split in ("train", "val"):
        (other / split / "somebody").mkdir(parents=True)
        (other / split / "somebody" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="not the data of table comparison"):
        open_photos(tmp_path / "out", other)


def test_speed_is_measured_on_the_one_device_asked_for_and_a_failure_is_told_in_its_words(tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text('{"files": {"model.tflite": {"sha256": "a"}}}')
    code = "import sys, json; open(sys.argv[sys.argv.index('--out') + 1], 'w').write(json.dumps({'said': sys.argv}))"
    measure_speed((sys.executable, "-c", code), [bundle], ["rpi4"], tmp_path / "speed.json")
    said = json.loads((tmp_path / "speed.json").read_text())["said"]
    assert said[said.index("--device") + 1] == "rpi4"
    failing = (sys.executable, "-c", "import sys; sys.exit('error: no room')")
    with pytest.raises(RunError, match=r"^edgeface bench failed: no room;"):
        measure_speed(failing, [bundle], ["cpu"], tmp_path / "speed.json")
    assert checked_devices(["cpu,rpi4", "rpi4"]) == ("cpu", "rpi4")


def test_time_left_counts_steps_teacher_outputs_once_and_int8_training(plan, tmp_path):
    speed = estimate.Speed({"teacher": 10.0, "1.0": 100.0, "2.0": 50.0}, forward=40.0)
    left = estimate.seconds_left(tmp_path / "out", plan, plan.runs, 80, speed)
    seconds = {(run.row, run.seed): left[run.key] for run in plan.runs}
    # 7 epochs of the teacher, 4 of a student, of 80 images each; 5 epochs of int8 training.
    assert seconds["teacher", 0] == pytest.approx(7 * 80 / 10)
    assert seconds["1.0-plain", 0] == pytest.approx(4 * 80 / 100 + 5 * 80 / 100)
    # Stage 0 shows 1 view, stage 1 two and stage 2 one.
    assert seconds["2.0-taught", 0] == pytest.approx(9 * 80 / 50 + 4 * 80 / 40)
    assert seconds["2.0-taught", 1] == pytest.approx(9 * 80 / 50)


def fake_runs():
    teacher = PlannedRun("t", "teacher", "teacher", 0, None, "")
    return [replace(teacher, key="s1", row="s", teacher="t"), teacher, replace(teacher, key="p", row="p")]


def workshop(tmp_path, bodies, jobs=1):
    """Each run appends its key to a file when it begins and when it ends; `bodies` is what it does between."""
    note = f"open({str(tmp_path / 'order')!r}, 'a').write"

    def command(run):
        body = bodies.get(run.key, "pass")
        return [sys.executable, "-c", f"import sys, time\n{note}('+{run.key} ')\n{body}\n{note}('-{run.key} ')"]

    return Workshop(command, lambda run: True, tmp_path / "logs", jobs)


def test_a_taught_run_waits_for_its_teacher_and_runs_go_one_by_one(tmp_path):
    ended = execute(fake_runs(), workshop(tmp_path, {}), lambda message: None)
    assert not ended.stopped
    assert not ended.failed
    assert (tmp_path / "order").read_text() == "+t -t +s1 -s1 +p -p "


def test_a_failed_run_leaves_out_its_students_and_nothing_else(tmp_path):
    ended = execute(fake_runs(), workshop(tmp_path, {"t": "sys.exit('no luck')"}, jobs=2), lambda message: None)
    assert set(ended.failed) == {"t", "s1"}
    assert "no luck" in ended.failed["t"]
    assert "-p" in (tmp_path / "order").read_text()


def test_ctrl_c_lets_the_running_one_save_and_starts_no_other(tmp_path):
    body = "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    sys.exit(130)"

    def interrupt():
        while not (tmp_path / "order").exists():
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    ended = execute(fake_runs(), workshop(tmp_path, {"t": body}), lambda message: None)
    thread.join()
    assert ended.stopped
    assert not ended.failed
    assert (tmp_path / "order").read_text() == "+t "


def test_two_reproductions_in_one_folder_are_refused(tmp_path):
    with locked(tmp_path), pytest.raises(UsageError, match="another"), locked(tmp_path):
        pass


def test_summaries_and_gaps_by_hand():
    assert summary([None, None]) is None
    assert summary([0.5]) == {"mean": 0.5, "std": None, "n": 1}
    taught, plain = summary([0.80, 0.82, 0.84]), summary([0.70, None, 0.74])
    assert taught["mean"] == pytest.approx(0.82)
    assert taught["std"] == pytest.approx(0.02)
    gap = difference(taught, plain)
    assert gap["points"] == pytest.approx(10.0)
    error = 100 * math.sqrt(0.02**2 / 3 + (0.02 * math.sqrt(2)) ** 2 / 2)
    assert gap["standard_error"] == pytest.approx(error)
    assert gap["over_spread"] == pytest.approx(10 / error)
    assert difference(taught, summary([0.7]))["standard_error"] is None
    figures = [{"name": f"1.0-{kind}", "figures": {"float32_val": value, "int8_val": None}} for kind, value in
               (("taught", taught), ("plain", plain))]  # fmt: skip
    assert [(gap["network"], gap["kind"]) for gap in taught_gaps(figures)] == [("1.0", "float32")]


def test_pictures_show_the_identities_with_most_images_or_say_that_there_are_too_few():
    labels = np.repeat(np.arange(3), [20, 17, 16])
    picked = pick_images(labels, identities=2)
    assert np.bincount(labels[picked]).tolist() == [16, 16]
    assert pick_images(np.repeat(np.arange(3), [20, 17, 15])) is None


def test_axes_have_round_ticks():
    assert svg.Axis(0, 10, "").ticks() == [0, 2, 4, 6, 8, 10]
    assert svg.Axis(71, 88, "").ticks() == [75, 80, 85]
    assert svg.Axis(0.9, 30, "", True).ticks() == [1, 2, 5, 10, 20]
    assert svg.Axis(1, 100, "", True).place(10) == pytest.approx(0.5)
