"""The packages that this checkout makes."""

from pathlib import Path

import pytest
from built_packages import CHECKOUT, build_sdist, build_wheel


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    pytest.importorskip("hatchling")
    pytest.importorskip("build")
    return build_sdist(CHECKOUT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the unpacked source distribution."""
    return build_wheel(sdist, tmp_path_factory.mktemp("wheel"))
