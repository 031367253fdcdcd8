"""Planning a table, and how far its runs are. No network is trained here."""

from dataclasses import replace

import pytest

from edgeface.bench.reproduction import rows, tables
from edgeface.bench.reproduction.plan import make_plan, read_plans
from edgeface.bench.reproduction.recipes import run_key
from edgeface.bench.reproduction.results import collect
from edgeface.bench.reproduction.state import write_plan
from edgeface.data.layouts import load_dataset
from edgeface.errors import RecipeError, UsageError
from edgeface.recipe import Recipe, Stage, load_recipe


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
    settings.recipe.write_text(settings.recipe.read_text() + "[student]\nsize = 64\n")
    with pytest.raises(RecipeError, match="sees 96 px and its students 64 px"):
        make_plan(settings, rows.comparison(), load_dataset(tiny_data), tmp_path / "out")
