"""The log of the HTTP API's examples, written once."""

from pathlib import Path

import pytest
import synthetic_extras
from served import Site


@pytest.fixture(scope="session")
def example_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with every kind of record; see `synthetic_extras.write_examples`. Not to be written to."""
    directory = tmp_path_factory.mktemp("examples")
    synthetic_extras.write_examples(directory)
    return directory


@pytest.fixture(scope="session")
def examples(example_log: Path) -> Site:
    """The routes over `example_log`."""
    return Site(example_log)
