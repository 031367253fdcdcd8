"""What surrounds a synthetic face and what happens to the light on its way into the file."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

_GRID = 24  # light is computed on a coarse grid and enlarged


def paint_background(side: int, rng: np.random.Generator) -> np.ndarray:
    """An RGB uint8 square (side, side, 3): blotches at a random scale, often with shapes in front."""
    cells = int(rng.integers(2, 9))
    base = rng.uniform(25, 225) + rng.normal(0, 25, 3)
    tones = rng.normal(0, rng.uniform(5, 45), (cells, cells, 1)) + rng.normal(0, rng.uniform(2, 22), (cells, cells, 3))
    coarse = np.clip(base + tones, 0, 255).astype(np.uint8)
    image = cv2.resize(
        coarse, (side, side), interpolation=cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_NEAREST
    )
    for _ in range(int(rng.integers(0, 7))):
        x, y, w, h = (int(v) for v in rng.integers(0, side, 4))
        colour = tuple(float(v) for v in rng.integers(0, 255, 3))
        kind = rng.integers(3)
        if kind == 0:
            cv2.rectangle(image, (x, y), (x + w // 2, y + h // 2), colour, -1)
        elif kind == 1:
            cv2.circle(image, (x, y), w // 5 + 3, colour, -1, cv2.LINE_AA)
        else:
            cv2.line(image, (x, y), (w, h), colour, int(rng.integers(2, 12)), cv2.LINE_AA)
    return image


def light(image: np.ndarray, centre: np.ndarray, unit: float, rng: np.random.Generator) -> np.ndarray:
    """Shade a head at `centre` (pixels) of half height `unit` from a random direction, with a strong colour cast."""
    side = image.shape[0]
    x, y = _grid(side)
    x, y = (x - centre[0]) / (unit * 0.85), (y - centre[1]) / (unit * 1.15)
    z = np.sqrt(np.maximum(0.04, 1 - x * x - y * y))
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.7)
    direction = np.array([np.cos(angle), 0.7 * np.sin(angle) - 0.25]) * strength
    shading = 1.0 - 0.55 * strength + 0.75 * np.clip(x * direction[0] + y * direction[1] + z * strength, -0.45, 1.1)
    if rng.random() < 0.2:  # a cast shadow with a soft straight edge
        turn = rng.uniform(0, 2 * np.pi)
        edge = np.cos(turn) * x + np.sin(turn) * y - rng.uniform(-0.5, 0.7)
        shading *= 1 - rng.uniform(0.25, 0.55) * np.clip(edge * 4 + 0.5, 0, 1)
    cast = np.exp(rng.normal(0, 0.13, 3) + rng.normal(0.08, 0.18))
    gains = np.clip(shading[..., None] * cast * 128, 0, 255).astype(np.uint8)
    return cv2.multiply(image, cv2.resize(gains, (side, side), interpolation=cv2.INTER_LINEAR), scale=1 / 128)


def occlude(image: np.ndarray, rng: np.random.Generator) -> None:
    """Put a bar, a disc or a hand-like blob over a part of the image, in place."""
    side = image.shape[0]
    colour = tuple(float(v) for v in rng.integers(0, 255, 3))
    kind = rng.integers(3)
    x, y = (int(v) for v in rng.integers(side // 8, side * 7 // 8, 2))
    if kind == 0:
        end = (int(rng.integers(0, side)), side + 20)
        cv2.line(image, (x, y), end, colour, int(rng.integers(side // 14, side // 6)), cv2.LINE_AA)
    elif kind == 1:
        cv2.circle(image, (x, y), int(rng.integers(side // 12, side // 6)), colour, -1, cv2.LINE_AA)
    else:
        skin = tuple(float(v) for v in np.array([215, 165, 130]) * rng.uniform(0.5, 1.1))
        for finger in range(4):
            start = (x + finger * side // 18, y + abs(finger - 1) * side // 40)
            cv2.line(image, start, (x + finger * side // 26, side + 20), skin, side // 20, cv2.LINE_AA)


def photograph(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Reduce to (size, size, 3) and add contrast, gray, blur and sensor noise as a cheap camera would."""
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    contrast = rng.uniform(0.65, 1.3)
    image = cv2.convertScaleAbs(image, alpha=contrast, beta=float(110 * (1 - contrast) + rng.normal(0, 14)))
    if rng.random() < 0.08:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    defect = rng.random()
    if defect < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.3)) * size / 112)
    elif defect < 0.35:
        length = max(3, round(rng.uniform(3, 7) * size / 112))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        image = cv2.filter2D(image, -1, kernel if rng.random() < 0.5 else kernel.T)
    elif defect < 0.45:
        small = max(16, round(size * rng.uniform(0.4, 0.7)))
        image = cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    x, y = (int(v) for v in rng.integers(0, 64, 2))
    noise = _noise(size)[y : y + size, x : x + size]
    return cv2.addWeighted(image, 1.0, noise, float(rng.uniform(0.5, 7.0)) / 32, 0.0, dtype=cv2.CV_8U)


@lru_cache(maxsize=4)
def _noise(size: int) -> np.ndarray:
    """A bank of normal noise, standard deviation 32, larger than an image by 64 pixels each way."""
    return np.random.default_rng(0).normal(0, 32, (size + 64, size + 64, 3)).astype(np.float32)


@lru_cache(maxsize=4)
def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    centres = (np.arange(_GRID) + 0.5) * side / _GRID
    x, y = np.meshgrid(centres, centres)
    return x, y
