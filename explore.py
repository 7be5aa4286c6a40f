"""Play with a trained generator, by mouse.

    python explore.py --model cgan        # mix classes, wander through the latents
    python explore.py --model gaugan      # paint a label map, and see it as a facade

For a generator of classes there is a slider for the share of each: all of one class is what the
training has shown, and what lies between two classes it has to make up. "Save" writes the image
and the numbers behind it into generated/; `generate.py --latent` draws it again from those.
"""

import sys

# matplotlib and TensorFlow take seconds to import. What needs them is imported in `main`, so that
# help and errors come at once.
from common import UserError
from common.arguments import ArgumentParser, path_of, problems_in_one_line
from common.data import facades
from common.drawing import generators


def define_parser():
    """The command line of this script."""
    parser = ArgumentParser(prog="explore.py", description=__doc__)
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME|PATH",
        help="a script's name or its beginning, for the newest run in runs/ or else the generator "
        "in trained/; or a run folder or .keras file",
    )
    parser.add_integer("--seed", 0, 2**32 - 1, 0, "another seed, other latents")
    parser.add_argument(
        "--layout",
        type=path_of,
        metavar="FILE.png",
        help="GauGAN: the label map to begin with (default: a drawn facade)",
    )
    return parser


def define_explorer(generator, seed, layout):
    """The window for a kind of generator; `layout` is a label map to begin with, or None."""
    from common.drawing.explorer import ClassExplorer, Explorer
    from common.drawing.label_map_editor import LabelMapEditor

    if generator.label_kind == "label map":
        return LabelMapEditor(generator, seed, layout)
    return (ClassExplorer if generator.label_kind else Explorer)(generator, seed)


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    with problems_in_one_line(parser):
        generator = generators.Generator(generators.find(arguments.model))
        layout = None
        if arguments.layout:
            if generator.label_kind != "label map":
                raise UserError(f"{generator.name} takes no label maps: leave out --layout")
            layout = facades.read_layout(arguments.layout)

        from common.drawing import explorer

        explorer.check_window()
        generator.load()
        define_explorer(generator, arguments.seed, layout)
        if not explorer.pyplot.isinteractive():  # a notebook has shown it by now
            explorer.pyplot.show()


if __name__ == "__main__":
    sys.exit(main())
