"""The generators in trained/ have the scores that trained/README.md says."""

import json
import re
from pathlib import Path

import evaluate

import pytest
from conftest import ALL_SCRIPTS, PROJECT

SECTIONS = dict(
    re.findall(
        r"^## (\w+)\n(.*?)(?=^## |\Z)",
        (PROJECT / "trained/README.md").read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
)


def scores_said(section):
    """The figures of the samples in the table below the command: a dict of value and spread."""
    table = section.partition("python evaluate.py")[2]
    rows = re.findall(r"^\| ([^|]+) \| (-?[\d.]+) ± ([\d.]+) \|", table, re.MULTILINE)
    names = {words: name for name, words in evaluate.FIGURE_NAMES.items()}
    names["Fréchet distance of the judge's features"] = "frechet_distance"
    return {names[words]: (float(value), float(spread)) for words, value, spread in rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_SCRIPTS)
def test_two_thousand_samples_have_the_scores_of_the_readme(name, tmp_path):
    """A spread in the table is that of fifths of 10,000 samples, so it is that of 2,000 as well.

    The distance of fewer samples is a little larger, so their own spread is added.
    """
    section = SECTIONS[name]
    (data,) = re.findall(r"python evaluate\.py --model \w+(?: --data (\S+))?`, ", section)
    folder = PROJECT / "trained" / name
    options = ["--model", str(folder), "--count", "2000"]
    if not (folder / "run.json").exists():  # which says what it was trained on
        # Where Debian's package is not installed, the images that come with this code.
        options += ["--data", data if Path(data or "none").exists() else "sample"]
    scores = tmp_path / "scores.json"
    evaluate.main([*options, "--json", str(scores), "--out", str(tmp_path / "nearest.png")])
    found = json.loads(scores.read_text())["samples"]["figures"]
    said = scores_said(section)
    assert len(said) >= 2
    for figure, (value, spread) in said.items():
        margin = 3 * spread + found[figure]["spread"] + 0.001
        assert found[figure]["value"] == pytest.approx(value, abs=margin), figure
