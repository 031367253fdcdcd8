"""Opening a run whose files were edited."""

import json
import shutil

import pytest

from edgeface.errors import RunError
from edgeface.files import text_sha256
from edgeface.run import open_run


def test_names_that_changed_places_are_found(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(
        json.dumps({**info, "files": {"identities.txt": text_sha256(run / "identities.txt")}})
    )
    names = open_run(run).identities
    (run / "identities.txt").write_text("".join(f"{name}\n" for name in names[::-1]))
    with pytest.raises(RunError, match=r"identities\.txt: is not the file this run wrote"):
        open_run(run)
    (run / "run.json").write_text(json.dumps({**info, "files": 3}))
    with pytest.raises(RunError, match="is damaged"):
        open_run(run)
