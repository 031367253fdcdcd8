"""Names that the terminal's charset, or any, cannot show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_photo_whose_name_is_no_text_does_not_stop_the_others(tmp_path: Path) -> None:
    for name in (b"a\xff.jpg", "Ł.jpg".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"no photo")
    for charset in ("utf-8", "latin-1"):
        done = subprocess.run(
            [sys.executable, "-m", "edgeface.cli", "detect", tmp_path, "--out", tmp_path / "faces"],
            env={**os.environ, "PYTHONIOENCODING": charset}, capture_output=True, check=False,
        )  # fmt: skip
        assert b"Traceback" not in done.stderr
        assert b"UnicodeEncodeError" not in done.stderr
        assert b"a\\udcff.jpg" in done.stdout + done.stderr
