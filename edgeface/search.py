"""Exact search among templates: cosine similarity by one matrix product."""

from __future__ import annotations

import cv2
import numpy as np

BLOCK = 2048
"""Rows that are widened from float16 to float32 at a time."""
WIDE = 20_000
"""Up to so many rows are kept as float32, which is the faster product; more stay float16, half the memory."""


class Templates:
    """Unit vectors of people, ready to be searched.

    `matrix` is float16 (T, E), its rows sorted by `owners`, int32 (T,), the person's id. With `average`, each
    person's templates become their normalised mean; else a person scores as the best of them.
    """

    def __init__(self, matrix: np.ndarray, owners: np.ndarray, *, average: bool = False) -> None:
        first = np.ones(len(owners), bool)  # of each person's rows
        np.not_equal(owners[1:], owners[:-1], out=first[1:])
        alone = bool(first.all())  # one template a person: nothing to group, nothing to copy
        starts = None if alone else np.flatnonzero(first)
        self.people, self.owners = owners if starts is None else owners[starts], owners
        if average and starts is not None:
            matrix, starts = _means(matrix, starts), None
        self.matrix = matrix.astype(np.float32) if len(matrix) <= WIDE else matrix
        self._starts = starts

    def __len__(self) -> int:
        return len(self.matrix)

    def search(self, vectors: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest people of each unit vector, float32 (N, E): ids int32 (N, k) and cosines float32 (N, k).

        The nearest comes first, of equally near ones the lowest id, whatever k; fewer columns when there are fewer
        people.
        """
        k = min(k, len(self.people))
        if k == 0:
            return np.empty((len(vectors), 0), np.int32), np.empty((len(vectors), 0), np.float32)
        scores = self._scores(np.ascontiguousarray(vectors, np.float32))
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        last = np.take_along_axis(scores, best, axis=1).min(axis=1, keepdims=True)
        for row in np.flatnonzero(np.count_nonzero(scores >= last, axis=1) > k):  # more than k: which of the equals?
            best[row] = np.argsort(-scores[row], kind="stable")[:k]
        best.sort(axis=1)  # by id, as the stable sort below leaves equals
        kept = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-kept, axis=1, kind="stable")
        cosines = np.clip(np.take_along_axis(kept, order, axis=1), -1, 1)  # float16 vectors are not quite of length 1
        return self.people[np.take_along_axis(best, order, axis=1)], cosines

    def _scores(self, vectors: np.ndarray) -> np.ndarray:
        """Cosine of each vector with each person, float32 (N, people)."""
        if self.matrix.dtype == np.float32:
            scores = vectors @ self.matrix.T
        else:
            scores = np.empty((len(vectors), len(self.matrix)), np.float32)
            for start in range(0, len(self.matrix), BLOCK):
                block = widened(self.matrix[start : start + BLOCK])
                np.matmul(vectors, block.T, out=scores[:, start : start + BLOCK])
        return scores if self._starts is None else np.maximum.reduceat(scores, self._starts, axis=1)


def widened(matrix: np.ndarray) -> np.ndarray:
    """float16 as float32, exactly. OpenCV does it by the CPU's own instruction, NumPy (1.26) twenty times slower."""
    return cv2.convertFp16(matrix.view(np.int16)) if hasattr(cv2, "convertFp16") else matrix.astype(np.float32)


def _means(matrix: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The normalised mean of each group of rows, float16."""
    ends = np.append(starts[1:], len(matrix))
    result = np.empty((len(starts), matrix.shape[1]), np.float16)
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        mean = matrix[start:end].mean(axis=0, dtype=np.float32)
        result[number] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return result
