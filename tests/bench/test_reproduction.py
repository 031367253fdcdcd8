"""Planning a table, and how far its runs are. No network is trained here."""

import json
from dataclasses import replace

import pytest

from edgeface.bench.reproduction import estimate, page, rows, tables
from edgeface.bench.reproduction.photos import open_photos
from edgeface.bench.reproduction.plan import (
    Settings,
    make_plan,
    read_plans,
    state_of,
    write_plan,
)
from edgeface.bench.reproduction.recipes import run_key
from edgeface.bench.reproduction.results import collect
from edgeface.bench.reproduction.score import is_complete
from edgeface.bundle import write_bundle
from edgeface.cli.reproduce_step import finish_run
from edgeface.data.layouts import load_dataset
from edgeface.errors import DataError, RecipeError, RunError, UsageError
from edgeface.face_input import FaceInput
from edgeface.recipe import Recipe, Stage, load_recipe

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


def test_the_arcface_rows_leave_out_the_losses_that_shrink_the_pre_logits(settings):
    for name in ("arcface", "arcface-gentle"):
        recipe = ablated(settings, name)
        assert recipe.head == "arcface"
        assert not any(stage.center_loss or stage.pre_logit_norm for stage in recipe.stages)
        assert recipe.stage2.triplet == 0.5


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
        ["taught", "taught-temperature-1", "taught-reference-weights"],
    ]
    assert len({keys["nothing"], keys["basic"], keys["basic+center"], keys["all"]}) == 4
    assert keys["all"] == run_key(
        "1.0", load_recipe(idle.recipe, "student", list(idle.overrides)), plan.data_hash, 0, None
    )
    assert plan.run(keys["all"]).row == "all"
    (table,) = collect(tmp_path)["tables"]
    assert table["overrides"] == ["stage2.epochs=0", "schedule='exponential'"]
    assert tables.heading(table).endswith("recipe mine with stage2.epochs=0, schedule='exponential'")
    assert read_plans(tmp_path) == (plan,)
    remarks = tables.remarks(table)
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
    info |= {"network": run.architecture, "teacher": run.teacher and {"run": run.teacher}}
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
        ({"build": {"width": 2.0, "widths": {"conv": 3}}}, "network"),
        ({"network": "mobilefacenet"}, "network"),
        ({"teacher": {"run": "x"}}, "teaching"),
    ],
)
def test_a_run_of_something_else_is_refused(plan, tmp_path, changes, says):
    write_run(tmp_path / "out", plan, plan.runs[1], finished=True, **changes)
    with pytest.raises(RunError, match=f"other {says}"):
        state_of(tmp_path / "out", plan, plan.runs[1])


def test_another_network_without_a_width_is_no_teacher(plan, tmp_path):
    write_run(tmp_path / "out", plan, plan.runs[0], finished=True, network="mobilefacenet")
    with pytest.raises(RunError, match="other network"):
        state_of(tmp_path / "out", plan, plan.runs[0])


def test_a_run_taught_by_other_weights_than_the_planned_teachers_is_refused(plan, tmp_path):
    out, teacher = tmp_path / "out", plan.runs[0]
    taught = [run for run in plan.runs if run.teacher]
    for run, weights in zip(taught, ("w", "other"), strict=False):
        write_run(out, plan, run, finished=True, teacher={"run": "elsewhere", "weights_sha256": weights})
    write_run(out, plan, taught[2], finished=True)
    assert state_of(out, plan, taught[1]).name == "finished"
    write_run(out, plan, teacher, finished=True, weights_sha256="w")
    assert [state_of(out, plan, taught[place]).name for place in (0, 2)] == ["finished", "finished"]
    with pytest.raises(RunError, match="other teacher's weights"):
        state_of(out, plan, taught[1])


def test_finished_seeds_stay_when_a_table_is_planned_again_with_fewer(plan, settings, tiny_data, tmp_path):
    out = tmp_path / "out"
    plain = [run for run in plan.runs if run.row == "1.0-plain"]
    taught = [run for run in plan.runs if run.row == "1.0-taught"]
    write_run(out, plan, plain[1], finished=True)
    write_run(out, plan, taught[1], finished=False)
    dataset = load_dataset(tiny_data)
    fewer = make_plan(replace(settings, seeds=1), rows.comparison(), dataset, out)
    for _ in range(2):
        write_plan(out, fewer)
        (stored,) = read_plans(out)
        keys = {row["name"]: row["runs"] for row in stored.rows}
        assert keys["1.0-plain"] == [plain[0].key, plain[1].key]
        assert keys["1.0-taught"] == [taught[0].key]
        assert stored.runs == (*fewer.runs, plain[1])
    assert collect(out)["tables"][0]["rows"][3]["runs"][1]["state"] == "finished"
    other = make_plan(replace(settings, seeds=1, overrides=("dropout=0.3",)), rows.comparison(), dataset, out)
    write_plan(out, other)
    assert read_plans(out) == (other,)


def test_a_plan_from_before_overrides_were_kept_is_read(plan, tmp_path):
    path = tmp_path / "out" / "plans" / "comparison.json"
    table = json.loads(path.read_text())
    del table["overrides"]
    path.write_text(json.dumps(table))
    assert read_plans(tmp_path / "out") == (plan,)
    assert tables.heading(collect(tmp_path / "out")["tables"][0]) == "Comparison on faces, recipe mine"


def test_a_damaged_plan_is_replaced(plan, tmp_path):
    (tmp_path / "out" / "plans" / "comparison.json").write_text("{")
    write_plan(tmp_path / "out", plan)
    assert read_plans(tmp_path / "out") == (plan,)


def test_weights_of_a_badly_copied_run_are_not_deleted(plan, tmp_path):
    folder = tmp_path / "out" / "runs" / plan.runs[1].key
    folder.mkdir(parents=True)
    (folder / "weights.h5").write_text("x")
    with pytest.raises(RunError, match=r"holds weights\.h5.*copy the whole run"):
        finish_run(tmp_path / "out", plan, plan.runs[1], quiet=True)
    assert (folder / "weights.h5").is_file()


@pytest.mark.parametrize("changes", [{"chain": ["pruned"]}, {"chain": {}}, {"versions": "3.11"}])
def test_a_run_that_tells_nonsense_of_itself_is_named(plan, tmp_path, changes):
    write_run(tmp_path / "out", plan, plan.runs[1], finished=True, **changes)
    with pytest.raises(RunError, match=r"run\.json: is damaged.*move the folder away"):
        collect(tmp_path / "out")


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


@pytest.mark.parametrize(("epochs", "weights", "seconds"), [(5, "w", 0), (3, "w", 4), (5, "older", 4)])
def test_time_left_counts_int8_training_that_was_otherwise(plan, tiny_models, tmp_path, epochs, weights, seconds):
    out = tmp_path / "out"
    run = next(run for run in plan.runs if run.row == "1.0-plain")
    write_run(out, plan, run, finished=True, epochs=4, weights_sha256="w")
    source = {"weights_sha256": weights, "quantization": {"mode": "qat", "epochs": epochs}}
    bundle = out / "bundles" / f"{run.key}-qat"
    write_bundle(bundle, tiny_models["int8"], [f"person_{n}" for n in range(5)], FaceInput(32), "qat", source=source)
    left = estimate.seconds_left(out, plan, [run], 80, estimate.Speed({"1.0": 100.0}, forward=40.0))
    assert left.get(run.key, 0) == pytest.approx(seconds)
