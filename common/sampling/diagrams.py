"""Draws a model as a diagram: a box for each layer, an arrow for each tensor.

    python -m common.sampling.diagrams some/generator.keras
    python -m common.sampling.diagrams SCRIPT.define_discriminator
    python -m common.sampling.diagrams SCRIPT.define_generator latent_dim=2 --out diagram.png

SCRIPT is the name of a training script, without `.py`; its function is called and returns the
model. `keras.utils.plot_model` draws such diagrams as well, but leaves the layout to Graphviz, a
program of its own, through the package pydot. This one needs matplotlib only. A layer that is
called twice has two boxes, and a model that is used as a layer has one.
"""

import ast
import importlib
import inspect
import os
import sys

from common import UserError
from common.arguments import ArgumentParser, path_of, problems_in_one_line
from common.files import PICTURES, check_writable, default_path
from common.models import saved_models

# What the functions of the scripts call the models that they connect, and the function for each.
MAKERS = {
    "g_model": "define_generator",
    "d_model": "define_discriminator",
    "critic": "define_critic",
    "encoder": "define_encoder",
}
ROW, COLUMN = 0.54, 2.7  # inches from box to box
BOX = (2.45, 0.38)  # width and height of a box, inches
DOTS_PER_INCH = 130
COLOURS = {"input": "#dbe9f6", "output": "#fde3c8", "weights": "#e6f1df", "other": "#f4f4f4"}


class Box:
    """One call of a layer: what it says, the boxes it reads from, and where it is drawn.

    Attributes:
        title, detail: the two lines of text.
        kind: a key of COLOURS.
        parents: the boxes whose outputs are its inputs.
        row, column: counted from the top and from the left.
        is_continued: whether a box that reads from it is in its column.
    """

    def __init__(self, operation, output, parents):
        self.title, self.parents = title(operation), parents
        shape = " × ".join(map(str, output.shape[1:])) or "one number"
        count = operation.count_params() if hasattr(operation, "count_params") else 0
        self.detail = f"{shape}   ({count:,} weights)" if count else shape
        self.kind = "input" if not parents else "weights" if count else "other"
        self.row, self.column, self.is_continued = 0, 0, False


def title(operation):
    """The name of a layer's class and its most important settings, such as "Dense 50"."""
    name = type(operation).__name__
    if name == "InputLayer":
        return f"input {operation.name}"
    if name == "Functional":
        return operation.name
    words = [name]
    for setting in ("kernel_size", "units", "filters", "rate", "negative_slope"):
        value = getattr(operation, setting, None)
        if isinstance(value, tuple):
            words.append("×".join(map(str, value)))
        elif isinstance(value, int | float):
            words.append(f"{value:g}")
    strides = getattr(operation, "strides", 1)
    if strides not in (1, (1, 1)):
        words.append(f"stride {strides[0] if isinstance(strides, tuple) else strides}")
    activation = getattr(getattr(operation, "activation", None), "__name__", "linear")
    return " ".join(words if activation == "linear" else [*words, activation])


def boxes_of(model):
    """The boxes of a functional model, placed in rows and columns.

    A box is as low as the boxes that read from it allow, and below the first box that it reads
    from if no other box takes that place.
    """
    boxes = {}  # by layer and number of the call, in the order of computation

    def visit(tensor):
        operation, node, _index = tensor._keras_history
        key = (id(operation), node)
        if key not in boxes:
            inputs = operation._inbound_nodes[node].input_tensors
            parents = [visit(parent) for parent in inputs]
            boxes[key] = Box(operation, tensor, list(dict.fromkeys(parents)))
        return boxes[key]

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)  # a box for each layer, and models may be deep
    try:
        for output in flat(model.outputs):
            box = visit(output)
            box.kind = "output"
    finally:
        sys.setrecursionlimit(limit)
    boxes = list(boxes.values())
    place(boxes)
    return boxes


def flat(outputs):
    return list(outputs.values()) if isinstance(outputs, dict) else list(outputs)


def place(boxes):
    """Give each box its row and column. `boxes` are in the order of computation."""
    for box in reversed(boxes):  # rows from the bottom, at first
        for parent in box.parents:
            parent.row = max(parent.row, box.row + 1)
    top = max(box.row for box in boxes)
    for box in boxes:
        box.row = top - box.row
    taken = set()
    for box in boxes:
        continued = [parent.column for parent in box.parents if not parent.is_continued]
        column = min(continued, default=0)
        # An input wants a column that is free below it, too.
        wanted = 1 if box.parents else top + 1
        while any((row, column) in taken for row in range(box.row, box.row + wanted)):
            column += 1
        box.column = column
        taken.add((box.row, column))
        for parent in box.parents:
            parent.is_continued |= parent.column == column


def draw(model, path):
    """Draw a functional model into a picture. Raises UserError if the model is not functional."""
    from common import plotting

    from matplotlib.figure import Figure

    if not hasattr(model, "operations") or not hasattr(model, "outputs"):
        name = getattr(model, "name", model)
        raise UserError(f"{name} is not a functional model: only those have a diagram")
    boxes = boxes_of(model)
    columns = 1 + max(box.column for box in boxes)
    rows = 1 + max(box.row for box in boxes)
    figure = Figure((columns * COLUMN + 0.1, rows * ROW + 0.35), DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, figure.get_figwidth())
    axes.set_ylim(figure.get_figheight(), 0)
    words = f"{model.name}: {model.count_params():,} weights"
    axes.text(0.1, 0.2, words, fontsize=7, weight="bold", va="center", parse_math=False)
    occupied = {(box.row, box.column) for box in boxes}
    for box in boxes:
        for parent in box.parents:
            draw_arrow(axes, parent, box, occupied)
    for box in boxes:
        draw_box(axes, box)
    plotting.save_figure(figure, path, describe(model))


def describe(model):
    """What the boxes say, as text that goes into the file: so a test can tell an old diagram."""
    return "\n".join(f"{box.title}: {box.detail}" for box in boxes_of(model))


def middle(box):
    """The centre of a box, in inches from the upper left corner."""
    return COLUMN * (box.column + 0.5) + 0.05, 0.35 + ROW * (box.row + 0.5)


def draw_arrow(axes, parent, box, occupied):
    (x1, y1), (x2, y2) = middle(parent), middle(box)
    way = range(parent.row + 1, box.row)
    blocked = any((row, parent.column) in occupied for row in way)
    points = [(x1, y1 + BOX[1] / 2), (x2, y2 - BOX[1] / 2)]
    if len(way):  # down to the row above the box, beside the boxes that are in the way
        aside = x1 + (BOX[0] / 2 + 0.12 if blocked else 0)
        points[1:1] = [(aside, y1 + ROW * 0.5), (aside, y2 - ROW * 0.5)]
    *others, last = points
    axes.plot(*zip(*others, strict=True), color="#777777", linewidth=1)
    arrow = {"arrowstyle": "-|>", "color": "#777777", "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", last, others[-1], arrowprops=arrow)


def draw_box(axes, box):
    from matplotlib.patches import FancyBboxPatch

    x, y = middle(box)
    corner = (x - BOX[0] / 2, y - BOX[1] / 2)
    style = {"boxstyle": "round,pad=0,rounding_size=0.06", "edgecolor": "#555555"}
    axes.add_patch(FancyBboxPatch(corner, *BOX, facecolor=COLOURS[box.kind], zorder=2, **style))
    options = {"ha": "center", "va": "center", "zorder": 3, "parse_math": False}
    axes.text(x, y - 0.085, box.title, fontsize=7.5, **options)
    axes.text(x, y + 0.09, box.detail, fontsize=6.5, color="#444444", **options)


def make(name, settings):
    """The model that a `.keras` file holds, or that a function of a script returns.

    Args:
        name: the path of the file, or SCRIPT.FUNCTION. Where the function wants other models, they
            are made by the functions of the same script (MAKERS).
        settings: a list of strings KEY=NUMBER, the arguments of the function.

    Raises UserError if there is no such model.
    """
    if name.endswith(".keras"):
        return saved_models.load(path_of(name))
    script, _, function = name.rpartition(".")
    try:
        sys.path.insert(0, os.getcwd())  # a copy of a script in the current folder
        module = importlib.import_module(script)
        options = dict(pair.split("=", 1) for pair in settings)
        options = {key: ast.literal_eval(value) for key, value in options.items()}
        wanted = inspect.signature(getattr(module, function)).parameters.values()
        for parameter in wanted:
            if parameter.default is parameter.empty and parameter.name not in options:
                options[parameter.name] = getattr(module, MAKERS[parameter.name])()
        return getattr(module, function)(**options)
    except (
        ImportError,
        AttributeError,
        LookupError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as problem:
        raise UserError(f"{' '.join([name, *settings])} is no model: {problem}") from None
    finally:
        sys.path.remove(os.getcwd())


def main(argv=None):
    parser = ArgumentParser(prog="python -m common.sampling.diagrams", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="FILE.keras, or SCRIPT.FUNCTION")
    parser.add_argument("settings", metavar="KEY=NUMBER", nargs="*", help="for the function")
    parser.add_path("--out", "FILE.png", "the picture (default: in generated/)")
    arguments = parser.parse_args(argv)
    with problems_in_one_line(parser):
        if arguments.out:
            check_writable(arguments.out, PICTURES)
        model = make(arguments.model, arguments.settings)
        out = arguments.out or default_path(f"{getattr(model, 'name', 'model')}.png")
        draw(model, out)
        print(out)


if __name__ == "__main__":
    sys.exit(main())
