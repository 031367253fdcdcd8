"""LFW's protocol: reading its pairs, and accuracy over folds worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.errors import DataError, UsageError
from edgeface.lfw import Pair, best_threshold, evaluate_folds, find_pairs, pair_scores, photos_of, read_pairs

TEXT = "2\t1\nann\t1\t2\nann\t1\tbob\t2\nbob\t1\t2\ncid\t1\tbob\t1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, count in (("ann", 2), ("bob", 2), ("cid", 1)):
        (tmp_path / name).mkdir()
        for number in range(1, count + 1):
            (tmp_path / name / f"{name}_{number:04d}.jpg").write_bytes(b"")
    (tmp_path / "pairs.txt").write_text(TEXT)
    return tmp_path


def test_pairs_are_read(folder: Path) -> None:
    pairs = find_pairs(folder)
    assert [(pair.same, pair.fold) for pair in pairs] == [(True, 0), (False, 0), (True, 1), (False, 1)]
    assert pairs[1].second == folder / "bob" / "bob_0002.jpg"
    assert len(photos_of(pairs)) == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "first line"),
        ("two\t1\n", "first line"),
        (TEXT.replace("cid\t1\tbob\t1\n", ""), "3 pairs, its first line promises 4"),
        (TEXT.replace("ann\t1\t2", "ann\t1\tbob\t2"), "line 2 should be 'name i j'"),
        (TEXT.replace("ann\t1\t2", "ann\t1\tx"), "line 2 should hold"),
        (TEXT.replace("ann\t1\t2", "ann\t1\t\u00b2"), "line 2 should hold"),
        (TEXT.replace("ann\t1\t2", "../ann\t1\t2"), "line 2 should hold"),
        (TEXT.replace("ann\t1\t2", "ann\t1\t7"), "1 photos are missing"),
        ("\udcff", "cannot be read"),
    ],
)
def test_what_is_no_pairs_file(folder: Path, text: str, reason: str) -> None:
    (folder / "pairs.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=reason) as caught:
        read_pairs(folder / "pairs.txt")
    assert len(str(caught.value).splitlines()) == 1


def test_no_pairs_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing"):
        find_pairs(tmp_path)


def made(scores: dict[int, list[tuple[float, bool]]]) -> tuple[list[Pair], np.ndarray]:
    pairs = [Pair(Path("a"), Path("b"), same, fold) for fold, rows in scores.items() for _, same in rows]
    return pairs, np.array([score for rows in scores.values() for score, _ in rows], np.float32)


def test_accuracy_over_folds_by_hand() -> None:
    # Fold 0 alone would put the threshold at 0.5 (between 0.4 and 0.6), fold 1 at 0.3 (between 0.2 and 0.4).
    pairs, scores = made({
        0: [(0.9, True), (0.6, True), (0.4, False), (0.1, False)],
        1: [(0.9, True), (0.4, True), (0.2, False), (0.1, False)],
    })  # fmt: skip
    result = evaluate_folds(pairs, scores, 8, 0)
    assert result.thresholds == pytest.approx((0.3, 0.5))
    assert result.folds == (0.75, 0.75)
    assert result.accuracy == 0.75
    assert result.standard_error == 0
    assert result.auc == pytest.approx(15.5 / 16)
    assert result.tar == {"0.01": 0.75, "0.001": 0.75}
    assert "cannot be shown with 4 impostor pairs" in result.notes[0]


def test_a_face_not_found_is_an_error_never_dropped() -> None:
    easy = [(0.9, True), (0.8, True), (0.1, False), (0.0, False)]
    lost = [(0.9, True), (np.nan, True), (0.1, False), (np.nan, False)]
    pairs, scores = made({0: easy, 1: lost, 2: easy})
    result = evaluate_folds(pairs, scores, 24, 2)
    assert result.folds == (1, 0.5, 1)
    assert result.accuracy == pytest.approx(5 / 6)
    assert result.standard_error == pytest.approx(np.sqrt(1 / 12) / np.sqrt(3))
    assert result.pairs_without_face == 2
    assert result.tar["0.01"] == pytest.approx(5 / 6)
    assert result.to_dict()["photos_without_face"] == 2


def test_one_fold_or_no_face_at_all() -> None:
    pairs, scores = made({0: [(0.9, True), (0.1, False)]})
    with pytest.raises(UsageError, match="two folds"):
        evaluate_folds(pairs, scores, 4, 0)
    pairs, scores = made({0: [(np.nan, True), (np.nan, False)], 1: [(np.nan, True), (np.nan, False)]})
    with pytest.raises(DataError, match="no pair with two faces"):
        evaluate_folds(pairs, scores, 4, 4)


def test_best_threshold_takes_ties_together() -> None:
    scores, same = np.array([0.5, 0.5, 0.5, 0.2]), np.array([True, True, False, False])
    assert best_threshold(scores, same) == pytest.approx(0.35)
    assert best_threshold(np.array([0.3]), np.array([False])) > 0.3


def test_scores_of_pairs(folder: Path) -> None:
    pairs = find_pairs(folder)
    rows = np.eye(5, dtype=np.float32)
    rows[1] = rows[0]
    rows[4] = np.nan
    scores = pair_scores(pairs, photos_of(pairs), rows)
    assert scores[:3].tolist() == [1, 0, 0]
    assert np.isnan(scores[3])


def test_the_command_on_aligned_photos(tiny_bundle: Path, tiny_photos: np.ndarray, tmp_path: Path) -> None:
    """Two photos of a person are equal but for their JPEG noise, so that every fold is right."""
    lines = ["3\t2"]
    for fold in range(3):
        people = [f"p{fold}{number}" for number in range(2)]
        for number, name in enumerate(people):
            (tmp_path / name).mkdir()
            for copy, quality in ((1, 95), (2, 90)):
                photo = tmp_path / name / f"{name}_{copy:04d}.jpg"
                cv2.imwrite(str(photo), tiny_photos[2 * fold + number], [cv2.IMWRITE_JPEG_QUALITY, quality])
        lines += [f"{name}\t1\t2" for name in people]
        lines += [f"{people[0]}\t{copy}\t{people[1]}\t{copy}" for copy in (1, 2)]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    arguments = ["eval", str(tiny_bundle), "--lfw", str(tmp_path), "--detector"]
    done = CliRunner().invoke(app, [*arguments, "none", "--json", "--figure", str(tmp_path / "roc.png")])
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["folds"] == [1.0, 1.0, 1.0]
    assert (answer["pairs"], answer["photos"], answer["photos_without_face"]) == (12, 12, 0)
    assert answer["auc"] == 1.0
    assert (tmp_path / "roc.png").stat().st_size > 10_000
    # The pictures are no faces: each pair is an error, and the figures stay.
    done = CliRunner().invoke(app, [*arguments, "cascade"])
    assert done.exit_code == 2
    assert "no pair with two faces is left" in done.stderr


def test_data_or_lfw(tiny_bundle: Path, tmp_path: Path) -> None:
    for arguments in ([], [str(tmp_path), "--lfw", str(tmp_path)], ["--lfw", str(tmp_path / "nothing")]):
        done = CliRunner().invoke(app, ["eval", str(tiny_bundle), *arguments])
        assert done.exit_code == 2
        assert done.stderr.startswith("error: ")
