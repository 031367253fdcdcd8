"""What a run says of itself in `run.json`: what it was trained on, by which code, and where."""

from __future__ import annotations

import datetime
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeface.data.dataset import FaceDataset
from edgeface.face_input import FaceInput
from edgeface.run import FORMAT, Run
from edgeface.train.batches import Images

if TYPE_CHECKING:
    from edgeface.train.session import Request


def describe_run(
    request: Request, dataset: FaceDataset, images: Images, face_input: FaceInput, network: tuple[str, dict[str, Any]],
    teacher: Run | None,
) -> dict[str, Any]:  # fmt: skip
    """What `run.json` says of a run besides its figures. `images` are those it trains on."""
    packages = ("edgeface", "tensorflow", "tf-keras", "numpy", "opencv-python")
    return {
        "format": FORMAT,
        "network": network[0],
        "build": network[1],
        "face_input": face_input.to_dict(),
        "dataset": {"path": str(dataset.root.resolve()), "hash": dataset.content_hash(), "layout": dataset.layout,
                    "training_images": len(images), "photos": images.fingerprint()},
        "recipe": request.recipe_name,
        "teacher": None if teacher is None else {
            "run": str(teacher.path.resolve()), "weights_sha256": teacher.info["weights_sha256"],
            "figures": teacher.figures,
        },
        "seed": request.seed,
        "strategy": request.strategy,
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "git_revision": git_revision(),
        "machine": {"system": platform.platform(terse=True), "processor": platform.machine()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        **(request.start.facts if request.start else {}),
    }  # fmt: skip


def git_revision() -> str | None:
    """The revision of the source tree this package runs from, None where git does not keep this file: installed within
    another project's checkout, that one's revision says nothing."""
    git = shutil.which("git")
    if git is None:
        return None
    here = Path(__file__).resolve()
    for arguments in (("ls-files", "--error-unmatch", here.name), ("rev-parse", "HEAD")):
        result = subprocess.run([git, *arguments], cwd=here.parent, capture_output=True, text=True, check=False)
        if result.returncode:
            return None
    return result.stdout.strip()
