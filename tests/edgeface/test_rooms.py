"""Who may import whom, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("tensorflow", "tf_keras", "tensorflow_model_optimization", "keras")
FORBIDDEN = {
    "edgeface": {"edgeface.train", "edgeface.compress", "edgeface.bench"},
    "train": {"edgeface.compress", "edgeface.bench", "edgeface.cli"},
    "compress": {"edgeface.bench", "edgeface.cli"},
    "bench": {"edgeface.train", "edgeface.compress", "edgeface.cli"},
}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_a_room_imports_only_what_it_may(room):
    broken = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / room).rglob("*.py"))
        if "cli" not in path.relative_to(ROOT / room).parts
        for name in imports_of(path)
        if any(name == other or name.startswith(other + ".") for other in FORBIDDEN[room])
    ]
    assert broken == []


def test_every_model_is_a_tf_keras_model():
    broken = [
        f"{path.relative_to(ROOT)} imports {name}"
        for room in FORBIDDEN
        for path in sorted((ROOT / room).rglob("*.py"))
        for name in imports_of(path)
        if name == "keras" or name.startswith(("keras.", "tensorflow.keras"))
    ]
    assert broken == []


@pytest.mark.parametrize(
    "statement",
    [
        "import edgeface",
        "from edgeface import Recognizer",
        "from edgeface.cli import app",
        "import edgeface.data.layouts, edgeface.bundle, edgeface.evaluation, edgeface.recipe, edgeface.run",
        "import edgeface.train.recipes",
    ],
)
def test_importing_the_device_side_imports_no_tensorflow(statement):
    code = f"{statement}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_help_loads_neither_numpy_nor_opencv():
    """What keeps `edgeface --help` under half a second."""
    code = (
        "import sys; from typer.testing import CliRunner; from edgeface.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        f"print([name for name in {(*HEAVY, 'numpy', 'cv2')!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
