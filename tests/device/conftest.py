"""Fixtures of the device tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeface.bundle import Bundle, open_bundle
from edgeface.embedder import Recognizer
from edgeface.errors import BundleError


@pytest.fixture
def bundle(tiny_bundles: dict[str, Path], tmp_path: Path) -> Path:
    """A copy that the test may damage."""
    return Path(shutil.copytree(tiny_bundles["int8"], tmp_path / "bundle"))


@pytest.fixture(scope="session")
def opened(tiny_bundle: Path) -> Bundle:
    """One that nobody changes."""
    return open_bundle(tiny_bundle)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test makes its gallery."""
    return tmp_path / "door.gallery"


@pytest.fixture
def refused() -> Callable[[Path], str]:
    """Loads a bundle that must be refused, and gives the message: one or two lines that name the place."""

    def load(path: Path) -> str:
        with pytest.raises(BundleError) as caught:
            Recognizer(path)
        message = str(caught.value)
        assert message
        assert len(message.splitlines()) <= 2
        assert str(path) in message
        return message

    return load
