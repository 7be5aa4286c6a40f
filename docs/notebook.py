"""Makes cgan_fashion.ipynb from cgan_fashion.py: python docs/notebook.py

The code of the script is cut into cells, one for each function, so the notebook cannot say anything
else than the script. Outputs are kept where the code is as before. `--run` trains and draws anew,
which takes four minutes on two CPU cores and needs the package nbclient.
"""

import ast
import base64
import io
import itertools
import json
import re
import sys
from pathlib import Path

from PIL import Image

PROJECT = Path(__file__).parent.parent
SCRIPT = PROJECT / "cgan_fashion.py"

# What stands above the cells that come from the script.
ABOVE = {
    "import": "The functions below are those of `cgan_fashion.py`, word for word.",
    "constants": "Fashion-MNIST has small grey images of ten kinds of clothes.",
    "define_discriminator": "## The networks\n\nThe discriminator sees an image and a class. It "
    "learns as any classifier does, so it is compiled with a loss.",
    "define_generator": "The generator goes the other way, from few numbers to an image.",
    "embed": "Both networks look a class up in a table of vectors, which they learn.",
    "adam": "The learning rate and the momentum are those of DCGAN.",
    "define_gan": "The generator has no loss of its own: it learns through the discriminator.",
    "generate_real_samples": "## The training\n\nA step needs three batches: real images, …",
    "generate_latent_points": "… inputs for the generator, …",
    "generate_fake_samples": "… and images that it makes of them.",
    "train": "This is the training loop. What `run` does (counting, showing, saving) is in "
    "`common/training/run.py`; you can understand the loop without it.",
    "main": "`main` puts it together. It takes the options of the command line as a list.",
}

COLAB = """\
import os
import sys
from pathlib import Path

RUN_FOLDER = Path("runs/notebook")
if "google.colab" in sys.modules:  # in Jupyter, next to the repository, nothing is to be done
    # Put the address in, and remove the "#":
    # !git clone <address of this repository> /content/repository
    os.chdir("/content/repository")
    # The machine is lost when the session ends. Your Google Drive is not, so the run is kept there.
    from google.colab import drive

    drive.mount("/content/drive")
    RUN_FOLDER = Path("/content/drive/MyDrive/cgan_fashion_run")
    from common.backend import tensorflow

    if not tensorflow.config.list_physical_devices("GPU"):
        print("No GPU: choose one under Runtime, Change runtime type; a CPU will do as well.")"""

TRAIN = """\
EPOCHS = 5  # raise it and run this cell again: the training goes on
START_ANEW = False  # True after you have changed a network: deletes the run

options = ["--data", "sample", "--batch-size", "32", "--epochs", str(EPOCHS)]
options += ["--out", str(RUN_FOLDER)]
if START_ANEW:
    options += ["--overwrite"]
elif (RUN_FOLDER / "run.json").exists():
    options += ["--resume"]
main(options)"""

DRAW = """\
from common import plotting
from common.models.generators import Generator

from PIL import Image


def picture(images, columns=10):
    \"\"\"Images (n, H, W, C) in [0, 1] in rows, each pixel drawn as three by three.\"\"\"
    small = Image.fromarray(plotting.on_paper(plotting.tile(images, columns)))
    return small.resize((3 * small.width, 3 * small.height), Image.Resampling.NEAREST)


generator = Generator(RUN_FOLDER / "generator.keras")
latents = generator.random_latents(20, np.random.default_rng(0))
dresses = np.full(20, generator.find_class("dress"))
picture(generator.draw(latents, dresses))"""

GRID = """\
labels = np.tile(np.arange(10), 5)  # five rows, a column for each class
latents = generator.random_latents(5, np.random.default_rng(1)).repeat(10, axis=0)
print(", ".join(generator.class_names))
picture(generator.draw(latents, labels))"""

TRAINED = """\
trained = Generator(Path("trained/cgan_fashion/generator.keras"))
picture(trained.draw(latents, labels))"""

STRIP = """\
def mix(first, second, shares, seed=0):
    \"\"\"A picture for each share of the second class, all of the same latent.\"\"\"
    vectors = np.eye(len(trained.class_names), dtype="float32")
    one, other = vectors[trained.find_class(first)], vectors[trained.find_class(second)]
    mixtures = np.stack([(1 - share) * one + share * other for share in shares])
    latent = trained.random_latents(1, np.random.default_rng(seed))
    return picture(trained.draw(latent.repeat(len(shares), axis=0), mixtures))


mix("sneaker", "ankle boot", np.linspace(0, 1, 10))"""

SLIDERS = """\
try:
    from ipywidgets import interact
except ImportError:
    print("For sliders: pip install ipywidgets")
else:
    names = list(trained.class_names)

    @interact(first=names, second=names[::-1], share=(0, 1, 0.05), seed=(0, 100))
    def show_mixture(first="sneaker", second="ankle boot", share=0.5, seed=0):
        return mix(first, second, [share], seed)"""


def script_cells(code):
    """The parts of a script: pairs of a name, a key of `ABOVE`, and the source."""
    lines, tree = code.splitlines(), ast.parse(code)
    kinds = {ast.Import: "import", ast.ImportFrom: "import", ast.Assign: "constants"}
    begin = tree.body[0].end_lineno  # of the docstring
    statements = [node for node in tree.body[1:] if not isinstance(node, ast.If)]
    for name, nodes in itertools.groupby(
        statements, lambda node: kinds.get(type(node)) or node.name
    ):
        end = list(nodes)[-1].end_lineno
        yield name, "\n".join(lines[begin:end]).strip()  # with the comments above it
        begin = end


def cells(code):
    """The cells of the notebook of a script: pairs of "markdown" or "code", and the source."""
    title, *paragraphs = ast.get_docstring(ast.parse(code)).split("\n\n")
    prose = [text.replace("\n", " ") for text in paragraphs if not text.startswith("    ")]
    yield "markdown", "\n\n".join([f"# {title}", *prose])
    yield (
        "markdown",
        "Run all cells: clothes appear within a few minutes, also without a GPU. In Colab, first "
        "edit the next cell. `docs/notebook.py` made this notebook from `cgan_fashion.py`.",
    )
    yield "code", COLAB
    for name, source in script_cells(code):
        yield "markdown", ABOVE[name]
        yield "code", source
    yield "markdown", "`main` names the run after the file of the script, and a notebook has none:"
    yield "code", f'__file__ = "{SCRIPT.name}"'
    yield (
        "markdown",
        "About three minutes on two CPU cores that do nothing else: five epochs on the 10,000 "
        "images that come with the code. After each epoch the samples are shown. If the run is "
        "there already, this cell resumes it, so running all cells again loses nothing, also "
        "after a lost session. For better images, leave out `--data sample` (then all 60,000 "
        "images are downloaded) and set `EPOCHS` to 40 or more; such a run needs a `RUN_FOLDER` "
        "of its own.",
    )
    yield "code", TRAIN
    yield "markdown", "## Drawing\n\nAsk for a class. Each image has a latent of its own."
    yield "code", DRAW
    yield "markdown", "All classes: each row has one latent, each column one class."
    yield "code", GRID
    yield "markdown", "The same by the generator in `trained`, after 40 epochs on all images:"
    yield "code", TRAINED
    yield (
        "markdown",
        "## Between two classes\n\nA class is a vector, and vectors can be mixed. From left to "
        "right the share of the second class grows from 0 to 1.",
    )
    yield "code", STRIP
    yield "markdown", "With ipywidgets, which Colab has, you can choose the classes and the share."
    yield "code", SLIDERS


def notebook(code, outputs=None):
    """The notebook as nbformat 4 has it: a dict. `outputs` is a dict of them by source."""
    made = []
    for number, (kind, source) in enumerate(cells(code), start=1):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        cell["source"] = source.splitlines(keepends=True)
        if kind == "code":
            cell |= {"execution_count": None, "outputs": (outputs or {}).get(source, [])}
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def outputs_of(content):
    """The outputs of the code cells of a notebook, by source."""
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    return {"".join(cell["source"]): cell["outputs"] for cell in code}


def run(content, folder):
    """Execute a notebook in a folder. Returns its outputs by source, made small."""
    import nbclient
    import nbformat

    executed = nbformat.reads(json.dumps(content), as_version=4)
    client = nbclient.NotebookClient(
        executed, timeout=None, coalesce_streams=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return {
        source: [small(output) for output in outputs if is_kept(output)]
        for source, outputs in outputs_of(executed).items()
    }


def is_kept(output):
    """Whether an output is shown without a running kernel, which widgets need."""
    return "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


def small(output):
    """An output of text without colours, or of a picture in sixteen shades of grey."""
    if "text" in output:
        output["text"] = re.sub(r"\x1b\[[\d;]*m", "", output["text"]).splitlines(keepends=True)
    elif "image/png" in output.get("data", {}):
        picture = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"])))
        file = io.BytesIO()
        picture.convert("L").quantize(16).save(file, "PNG", optimize=True)
        output["data"] = {"image/png": base64.b64encode(file.getvalue()).decode()}
    if "execution_count" in output:
        output["execution_count"] = None
    return output


def main(out=PROJECT / "cgan_fashion.ipynb", anew=False):
    code, out = SCRIPT.read_text(encoding="utf-8"), Path(out)
    if anew:
        outputs = run(notebook(code), PROJECT)
    else:
        outputs = outputs_of(json.loads(out.read_text(encoding="utf-8"))) if out.exists() else {}
    content = notebook(code, outputs)
    out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(out)


if __name__ == "__main__":
    sys.exit(main(anew="--run" in sys.argv[1:]))
