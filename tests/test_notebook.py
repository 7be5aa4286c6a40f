"""The notebook: its code is that of the script, and it runs from top to bottom, twice."""

import json
import re
import runpy
import sys
import types

import documents
import pytest
from conftest import PROJECT

MAKER = runpy.run_path(str(PROJECT / "docs/notebook.py"))
CODE = documents.read(PROJECT / "cgan_fashion.py")
COMMITTED = json.loads(documents.read(PROJECT / "cgan_fashion.ipynb"))
TINY = '"--batch-size", "16", "--limit", "320"'


def test_the_notebook_is_what_the_command_makes_of_the_script():
    """If not: python docs/notebook.py"""
    made = MAKER["notebook"](CODE, MAKER["outputs_of"](COMMITTED))
    assert made == COMMITTED


def test_every_line_of_the_script_is_in_the_notebook():
    code = "\n\n\n".join(source for _name, source in MAKER["script_cells"](CODE))
    docstring, _, rest = CODE.partition('\n"""\n')
    body, _, last = rest.partition('\n\nif __name__ == "__main__":')
    assert [line for line in body.splitlines() if line] == [
        line for line in code.splitlines() if line
    ]
    assert docstring.startswith('"""Conditional GAN') and last == "\n    sys.exit(main())\n"


def test_the_committed_outputs_are_small_and_name_no_machine():
    outputs = MAKER["outputs_of"](COMMITTED)
    pictures = [output for each in outputs.values() for output in each if "data" in output]
    assert len(pictures) >= 9  # five epochs, and four drawn below
    assert all(set(picture["data"]) == {"image/png"} for picture in pictures)
    assert sum(len(picture["data"]["image/png"]) * 3 / 4 for picture in pictures) < 400e3
    text = "".join("".join(output.get("text", [])) for each in outputs.values() for output in each)
    assert "Finished: 5 epochs" in text and "Traceback" not in text
    assert not re.search(r"(^|\s)/\w", text) and "\x1b" not in text


def test_the_first_cell_in_colab_and_elsewhere(monkeypatch, capsys):
    mounted, entered, colab = [], [], types.ModuleType("google.colab")
    colab.drive = types.SimpleNamespace(mount=mounted.append)
    monkeypatch.setattr("os.chdir", entered.append)
    names = {}
    exec(MAKER["COLAB"], names)
    assert str(names["RUN_FOLDER"]) == "runs/notebook" and not entered
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    exec(MAKER["COLAB"], names)
    assert mounted == ["/content/drive"] and entered == ["/content/repository"]
    assert str(names["RUN_FOLDER"]).startswith("/content/drive/MyDrive/")
    assert "No GPU" in capsys.readouterr().out


@pytest.fixture
def next_to_the_repository(tmp_path):
    """A folder in which a notebook finds what it needs."""
    for name in ("common", "trained", "cgan_fashion.py"):
        (tmp_path / name).symlink_to(PROJECT / name)
    return tmp_path


def executed(content, folder, **options):
    """Execute a notebook; skip the test where that is impossible. Returns it."""
    nbclient = pytest.importorskip(
        "nbclient", reason="nbclient, which executes notebooks, is missing"
    )
    nbformat = pytest.importorskip("nbformat")
    made = nbformat.reads(json.dumps(content), as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(made, timeout=300, resources=resources, **options).execute()
    return made


def text_of(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of other people's code
def test_run_all_and_run_all_again(next_to_the_repository):
    """The second time the run is resumed, not refused."""
    content = MAKER["notebook"](CODE)
    (training,) = [cell for cell in content["cells"] if "EPOCHS = 5" in "".join(cell["source"])]
    source = "".join(training["source"]).replace('"--batch-size", "32"', TINY)
    training["source"] = source.replace("EPOCHS = 5", "EPOCHS = 2")
    assert TINY in training["source"]
    for expected in ("Finished: 2 epochs", "All epochs are finished"):
        made = executed(content, next_to_the_repository)
        (cell,) = [cell for cell in made.cells if "EPOCHS = 2" in cell.source]
        assert expected in text_of(cell)
        pictures = [out for out in cell.outputs if "image/png" in out.get("data", {})]
        assert len(pictures) == (2 if expected.startswith("Finished") else 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scripts_in_a_notebook(next_to_the_repository):
    """Progress within an epoch; an error is a sentence and no traceback; a second run works."""
    run = "%run cgan_fashion.py --data sample --limit 64 --batch-size 16 --latent-dim 6 --epochs 1"
    lines = [run, run, f"{run} --overwrite", f"{run} --epochs 0"]
    cells = [
        {"cell_type": "code", "id": f"c{number}", "metadata": {}, "source": line}
        | {"outputs": [], "execution_count": None}
        for number, line in enumerate(lines)
    ]
    content = MAKER["notebook"](CODE) | {"cells": cells}
    first, second, third, fourth = executed(
        content, next_to_the_repository, allow_errors=True
    ).cells
    for cell in (first, third):
        assert "4/4" in text_of(cell) and "Finished: 1 epoch" in text_of(cell)
        assert [out.output_type for out in cell.outputs].count("display_data") == 1
    for cell, message in ((second, "already holds a run"), (fourth, "0 is not between 1 and")):
        (error,) = [output for output in cell.outputs if output.output_type == "error"]
        assert len(error.traceback) == 1 and message in error.traceback[0]
        assert error.traceback[0].startswith("cgan_fashion.py: error: ")
