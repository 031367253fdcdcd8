"""Faces in loose photos: found, levelled, brought into the frame, refused with the reason."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_yunet import POINTS, write_tiny_yunet

from edgeface.alignment import CELEBA_FRAME, WHOLE_FRAME, align, box_points, reference_points, similarity
from edgeface.cascade import best_pair
from edgeface.data.synthetic import draw_face, synthetic_person
from edgeface.detector import Face, find_faces, open_detector
from edgeface.errors import UsageError
from edgeface.face_input import FaceInput
from edgeface.quality import limits, refusal, sharpness


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Two drawn people on gray, the larger on the right."""
    canvas = np.full((360, 640, 3), 128, np.uint8)
    canvas[150:310, 30:190] = draw_face(synthetic_person(0, 0), np.random.default_rng(4), 160)
    canvas[40:280, 340:580] = draw_face(synthetic_person(0, 1), np.random.default_rng(5), 240)
    return canvas


def test_every_face_is_found_the_largest_first(photo: np.ndarray) -> None:
    large, small = find_faces(photo, open_detector())
    for face, (left, top, side) in ((large, (340, 40, 240)), (small, (30, 150, 160))):
        x, y = face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2
        assert abs(x - left - side / 2) < side / 4
        assert abs(y - top - side / 2) < side / 4
        assert 0.4 * side < face.side < side


def test_no_face_and_no_detector(photo: np.ndarray) -> None:
    assert find_faces(np.full((200, 200, 3), 90, np.uint8), open_detector()) == []
    (face,) = find_faces(photo, open_detector("none"))
    assert face.cropped
    prepared = align(photo, face, FaceInput(64))
    assert np.array_equal(prepared, FaceInput(64).prepare(photo))


@pytest.mark.parametrize("shape", [(16, 3000), (17, 40000), (40000, 17), (16, 16), (24, 24), (31, 30)])
def test_a_photo_of_an_odd_shape_has_no_face(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert find_faces(noise, open_detector()) == []


@pytest.mark.parametrize(
    "box", [(-600, -600, 700, 700), (2000, 2000, 900, 900), (10, 10, 0.5, 0.5), (900, 0, 400, 400)]
)
def test_a_box_at_or_over_the_edge_is_filled_with_black(box: tuple[float, float, float, float]) -> None:
    image = np.full((1000, 1000, 3), 255, np.uint8)
    for size in (32, 96):
        aligned = align(image, Face(box, 1.0), FaceInput(size))
        assert aligned.shape == (size, size, 3)
        assert (aligned.mean() < 255) == (box[0] != 10)
    assert sharpness(image, Face(box, 1.0)) >= 0


def test_eyes_come_to_their_place_whatever_the_photo_did() -> None:
    """A photo with marked eyes, turned and scaled: after alignment the marks are where the frame has the eyes."""
    for angle, scale, size in ((0, 1.0, 112), (25, 1.7, 96), (-15, 0.25, 64)):
        turn = scale * np.array(
            [
                [np.cos(np.radians(angle)), -np.sin(np.radians(angle))],
                [np.sin(np.radians(angle)), np.cos(np.radians(angle))],
            ]
        )
        eyes = (np.array([[-60.0, 0], [60, 0]]) @ turn.T) + (400, 300)
        image = np.zeros((600, 800, 3), np.uint8)
        for x, y in eyes:
            cv2.circle(
                image, (round(x * 16), round(y * 16)), round(14 * scale * 16), (255, 255, 255), -1, cv2.LINE_AA, 4
            )
        face = Face((0, 0, 1, 1), 1.0, eyes.astype(np.float32))
        aligned = align(image, face, FaceInput(size))
        assert aligned.shape == (size, size, 3)
        for half, expected in ((slice(0, size // 2), WHOLE_FRAME[0]), (slice(size // 2, size), WHOLE_FRAME[1])):
            ys, xs = np.nonzero(aligned[:, half, 0] > 127)
            assert xs.mean() + half.start == pytest.approx(expected[0] * size, abs=0.6)
            assert ys.mean() == pytest.approx(expected[1] * size, abs=0.6)


def test_similarity_is_exact_for_two_points_and_least_squares_for_more() -> None:
    source = np.array([[0.0, 0], [2, 0]])
    assert similarity(source, np.array([[1.0, 1], [1, 5]])) == pytest.approx(np.array([[0, -2, 1], [2, 0, 1]]))
    five = np.random.default_rng(0).normal(size=(5, 2))
    wanted = np.array([[0.6, -0.8, 3], [0.8, 0.6, -1]])
    assert similarity(five, five @ wanted[:, :2].T + wanted[:, 2]) == pytest.approx(wanted)
    with pytest.raises(UsageError):
        similarity(np.ones((2, 2)), source)


@pytest.mark.parametrize("points", [2, 5])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_face_in_celebas_frame_becomes_what_training_makes_of_that_frame(points: int, scale: float) -> None:
    """The crop of 86 x 105 pixels is squeezed to a square: wherever the face is found, the network must see it so."""
    contract = FaceInput(96, crop=(86, 172, 35, 140), frame=(218, 178))
    coarse = np.random.default_rng(0).integers(0, 256, (14, 11, 3), dtype=np.uint8)
    frame = cv2.resize(coarse, (178, 218), interpolation=cv2.INTER_CUBIC)
    photo = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    marks = (CELEBA_FRAME[:points] + 0.5) * scale - 0.5
    aligned = align(photo, Face((0, 0, 10, 10), 1.0, marks.astype(np.float32)), contract)
    assert np.abs(aligned.astype(int) - contract.prepare(frame)).mean() < 2


def test_a_crop_of_an_unknown_frame_is_refused() -> None:
    with pytest.raises(UsageError, match="--detector none"):
        reference_points(FaceInput(96, crop=(0, 10, 0, 10), frame=(20, 20)))


def test_without_eyes_the_box_is_taken_as_upright() -> None:
    image = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8), (300, 300))
    box = (80.0, 90.0, 120.0, 120.0)
    with_eyes = Face(box, 1.0, box_points(box).astype(np.float32))
    assert (
        np.abs(align(image, Face(box, 1.0), FaceInput(80)).astype(int) - align(image, with_eyes, FaceInput(80))).max()
        <= 1
    )


def test_a_large_photo_is_not_aliased() -> None:
    """A fine chessboard shrinks to even gray."""
    board = np.indices((2000, 2000)).sum(axis=0) % 2 * np.uint8(255)
    face = Face((500, 500, 1000, 1000), 1.0)
    aligned = align(np.repeat(board[..., None], 3, axis=2).astype(np.uint8), face, FaceInput(64))
    assert np.abs(aligned.astype(int) - 127).max() < 12


def test_a_pair_of_eyes_is_told_from_other_spots() -> None:
    spots = [np.array(spot, np.float32) for spot in ((30, 40), (72, 44), (50, 90), (20, 5))]
    pair = best_pair(spots, 100)
    assert pair is not None
    assert pair.tolist() == [[30, 40], [72, 44]]
    assert best_pair(spots[2:], 100) is None
    aside = [np.array(spot, np.float32) for spot in ((2, 40), (30, 40))]  # both in the left third
    assert best_pair(aside, 100) is None


def test_small_and_blurred_faces_are_refused_with_the_reason() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    face = Face((20.0, 20.0, 150.0, 150.0), 1.0)
    assert refusal(image, face, limits("high")) is None
    blurred = cv2.GaussianBlur(image, (0, 0), 6)
    assert sharpness(blurred, face) < sharpness(image, face)
    assert "blurred" in (refusal(blurred, face, limits("normal")) or "")
    small = Face((20.0, 20.0, 30.0, 30.0), 1.0)
    assert "30 pixels wide, under 40" in (refusal(image, small, limits("normal")) or "")
    assert refusal(blurred, small, limits("off")) is None
    with pytest.raises(UsageError, match="unknown quality"):
        limits("best")


def test_detectors_by_name(tmp_path) -> None:
    for arguments in (("mtcnn",), ("yunet",), ("cascade", "x.onnx"), ("yunet", tmp_path / "none.onnx")):
        with pytest.raises(UsageError):
            open_detector(*arguments)
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    with pytest.raises(UsageError, match=r"cannot load it as YuNet"):
        open_detector("yunet", tmp_path / "bad.onnx")


def test_yunets_five_points_are_used_in_the_photos_own_pixels(tmp_path: Path) -> None:
    """OpenCV's FaceDetectorYN runs, on a tiny network: colour order, padding, size searched, five-point fit."""
    write_tiny_yunet(tmp_path / "tiny.onnx")
    detector = open_detector("yunet", tmp_path / "tiny.onnx")
    for shape, scale in (((320, 320), 1), ((240, 333), 1), ((1440, 1920), 3)):
        image = np.zeros((*shape, 3), np.uint8)
        assert find_faces(image, detector) == []
        side = 32 * scale
        image[3 * side : 4 * side, 2 * side : 3 * side] = (255, 0, 0)
        (face,) = find_faces(image, detector)
        assert face.box == pytest.approx((2 * side, 3 * side, side, side), abs=0.01)
        assert face.score == pytest.approx(1)
        assert face.landmarks is not None
        expected = (POINTS + np.array([2, 3])) * side
        assert np.abs(face.landmarks - expected).max() < 0.01
        matrix = similarity(expected, WHOLE_FRAME * 96)  # what the five points ask for
        corner = matrix @ (2 * side, 3 * side, 1)
        aligned = align(image, face, FaceInput(96))
        column, row = np.clip(np.round(corner + 4), 0, 95).astype(int)
        assert tuple(aligned[row, column]) == (255, 0, 0)
    assert find_faces(np.zeros((16, 3000, 3), np.uint8), detector) == []


def test_another_network_in_place_of_yunet_is_refused_in_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_tiny_yunet(tmp_path / "other.onnx", strides=(8,))
    with pytest.raises(UsageError) as caught:
        find_faces(np.zeros((64, 64, 3), np.uint8), open_detector("yunet", tmp_path / "other.onnx"))
    assert len(str(caught.value).splitlines()) == 1
    assert "YuNet" in str(caught.value)
    assert capfd.readouterr().err == ""  # OpenCV's own complaints stay away
