"""The prediction file of `edgeface eval`."""

import numpy as np

from edgeface.evaluation import write_predictions

LOGITS = np.eye(2, dtype=np.float32)


def test_ids_are_file_names(tmp_path):
    write_predictions(tmp_path / "a.csv", (tmp_path / "1.jpg", tmp_path / "2.jpg"), LOGITS, ("ann", "bob"))
    assert (tmp_path / "a.csv").read_text().splitlines() == ["id,label", "1.jpg,ann", "2.jpg,bob"]


def test_ids_name_the_folder_where_file_names_repeat(tmp_path):
    photos = (tmp_path / "val" / "ann" / "1.jpg", tmp_path / "val" / "bob" / "1.jpg")
    write_predictions(tmp_path / "a.csv", photos, LOGITS, ("ann", "bob"))
    assert (tmp_path / "a.csv").read_text().splitlines() == ["id,label", "ann/1.jpg,ann", "bob/1.jpg,bob"]


def test_a_file_name_that_is_not_utf_8_is_kept_byte_for_byte(tmp_path):
    write_predictions(tmp_path / "a.csv", (tmp_path / "\udcff.jpg",), LOGITS[:1], ("ann", "bob"))
    assert (tmp_path / "a.csv").read_bytes().splitlines()[1] == b"\xff.jpg,ann"
