"""`edgeface eval BUNDLE --lfw DIR`: LFW's own verification protocol on a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeface.cli.common import note, print_json
from edgeface.progress import progress_line

if TYPE_CHECKING:
    from edgeface.lfw import LfwResult


def evaluate_lfw(
    bundle: Path, folder: Path, detector: tuple[str, Path | None], figure: Path | None, threads: int, as_json: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Embed every photo of the pairs, score the pairs, show the result."""
    from edgeface.detector import open_detector
    from edgeface.embedder import Recognizer
    from edgeface.lfw import evaluate_lfw as measure

    if figure is not None:
        from edgeface.score_figure import write_figure
    recognizer = Recognizer(bundle, threads)
    result = measure(recognizer, folder, open_detector(*detector), progress_line(quiet))
    if figure is not None:
        write_figure(figure, result.counts, f"{bundle.resolve().name}, {folder.resolve().name}")
        note(f"wrote {figure}", quiet=quiet)
    if as_json:
        print_json({"target": str(bundle), "lfw": str(folder), "detector": detector[0], **result.to_dict()})
    else:
        _show(result, quiet)


def _show(result: LfwResult, quiet: bool) -> None:
    percent = [f"{100 * fold:.2f}" for fold in result.folds]
    print(f"accuracy {100 * result.accuracy:.2f} % +- {100 * result.standard_error:.2f} (folds: {', '.join(percent)})")
    print(f"area under the ROC {result.auc:.4f}, equal error rate {100 * result.eer:.2f} %")
    for fmr, rate in result.tar.items():
        print(f"true accept rate {100 * rate:.2f} % at FMR {fmr}")
    print(
        f"{result.pairs} pairs of {result.photos} photos; no face found in {result.photos_without_face} photos, "
        f"their {result.pairs_without_face} pairs count as errors"
    )
    for text in result.notes:
        note(f"note: {text}", quiet=quiet)
