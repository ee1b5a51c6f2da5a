"""What the tests of the suite share: the contract, and the recordings where they are."""

import os
from pathlib import Path

import pytest

from compat import recordings
from compat.__main__ import SHARED
from compat.contract import Contract, Learned
from compat.recordings import Recording

FOLDER = Path(os.environ.get("COMPAT_RECORDINGS", SHARED / "openai-recorded"))


def folder_of(path: Path) -> Path:
    """A folder or file beside the project; without it the test is skipped, and fails in CI."""
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is missing")
        pytest.skip(f"{path} is missing")
    return path


@pytest.fixture(scope="session")
def contract() -> Contract:
    return Contract()


@pytest.fixture(scope="session")
def recorded() -> list[Recording]:
    return [recording for recording in recordings.load(folder_of(FOLDER)) if recording.request.method != "DELETE"]


@pytest.fixture(scope="session")
def learned(contract: Contract, recorded: list[Recording]) -> Learned:
    return recordings.learn(contract, recorded)
