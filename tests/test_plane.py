"""docs/course/plane.py, the GAN of two numbers: it learns the ring, and collapses as is written."""

import re
import subprocess
import sys

import pytest
from conftest import PROJECT


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["0.001", "0.02"])
def test_the_ring_is_learnt_and_a_generator_that_is_too_fast_collapses(tmp_path, rate):
    words = ["--generator-rate", rate, "--out", str(tmp_path / "plane.png")]
    command = [sys.executable, str(PROJECT / "docs/course/plane.py"), *words]
    lines = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert (tmp_path / "plane.png").exists() and lines.count("step") == 6
    share, clusters = map(int, re.findall(r"(\d+)% of the points.* (\d) of 8 clusters", lines)[-1])
    assert (share > 80 and clusters == 8) if rate == "0.001" else clusters <= 2
