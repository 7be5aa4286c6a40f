"""Command lines whose errors are one line, found before anything slow is imported."""

import argparse


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that reports an error in one line, with exit status 2."""

    def __init__(self, **options):
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")

    def add_integer(self, name, low, high, default, help, metavar="N"):
        """Add an option that takes a whole number from `low` to `high`."""
        if default is not None:
            help = f"{help} (default: {default})"
        self.add_argument(
            name, type=integer(low, high), default=default, metavar=metavar, help=help
        )


def integer(low, high):
    """A type for argparse: a whole number from `low` to `high`."""

    def parse(text):
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{number} is not between {low} and {high}")
        return number

    return parse
