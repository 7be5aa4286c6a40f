"""Explore a trained generator with the mouse.

    python explore.py --model cgan        # mix classes, change the latent
    python explore.py --model gaugan      # paint a label map, and see it as a photo

If the generator takes class labels, there is a slider for the share of each class. In training each
image was of one class only; mixtures of classes are new to the generator. "Save" writes the image
and its inputs to generated/, and `generate.py --latent` draws it again from this file.
"""

import sys

# Importing matplotlib and TensorFlow takes seconds. Modules that need them are imported inside
# functions, so that --help and error messages come at once.
from common import UserError
from common.arguments import (
    ArgumentParser,
    add_generator_options,
    add_label_map_option,
    problems_in_one_line,
)
from common.models.generators import Generator
from common.sampling import finding, label_maps


def define_parser():
    """The command line of this script."""
    parser = ArgumentParser(prog="explore.py", description=__doc__)
    add_generator_options(parser)
    parser.add_path(
        "--layout", "FILE.png", "GauGAN: the label map to begin with (default: a drawn facade)"
    )
    add_label_map_option(parser)
    return parser


def define_explorer(generator, seed=0, layout=None, layout_from=None):
    """Open the window for a generator. `layout` is the label map to begin with, or None."""
    from common.sampling.explorer import Explorer
    from common.sampling.label_map_editor import LabelMapEditor

    if generator.label_kind == "label map":
        return LabelMapEditor(generator, seed, layout, layout_from)
    return Explorer(generator, seed)


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    layout, layout_from = arguments.layout, arguments.layout_from
    with problems_in_one_line(parser):
        generator = Generator(finding.find(arguments.model))
        for name, value in (("--layout", layout), ("--layout-from", layout_from)):
            if value is not None and generator.label_kind != "label map":
                raise UserError(f"{generator.name} takes no label maps: leave out {name}")
        if layout:
            layout = label_maps.read(generator, layout, layout_from)

        from common.sampling import explorer

        explorer.check_window()
        generator.load()
        define_explorer(generator, arguments.seed, layout, layout_from)
        if not explorer.pyplot.isinteractive():  # in a notebook the window is already shown
            explorer.pyplot.show()


if __name__ == "__main__":
    sys.exit(main())
