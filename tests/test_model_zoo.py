"""Models that the tests do not know."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "model_zoo/run.py"


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_watching_changes_nothing_and_never_fails_on_the_models_of_transformers() -> None:
    pytest.importorskip("transformers", reason="needs tests/model_zoo/requirements.txt")
    subprocess.run([sys.executable, str(SCRIPT)], check=True)
