"""Which arguments a resumed run has, and which checkpoints it may go on from."""

import shlex
from pathlib import Path

from common import UserError
from common.training import run_folder
from common.training.progress import Progress

# These may differ from what the run began with.
MAY_CHANGE = (
    *("epochs", "data", "checkpoint_minutes", "evaluate_every", "out", "resume", "overwrite"),
)


def read_arguments(folder, parser, argv):
    """The arguments that the run in `folder` began with, but for what `argv` may change.

    Returns the arguments as argparse has them, and what run.json says of the data. Raises
    UserError if there is no such run, or if `argv` says otherwise.
    """
    record = run_folder.read_record(folder, parser.prog.removesuffix(".py"))
    finished = Progress(epochs=record["epochs_finished"])
    if finished.epochs and not (folder / "checkpoint.npz").exists():
        raise UserError(f"{folder} has no checkpoint.npz of its {finished}")
    # What "auto" found then, so that going on does not depend on what it finds now.
    stored = record["arguments"] | {"data": record["data"]["source"]}
    again = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in stored.items()
        if value is not None and value is not False
    ]
    began = vars(parser.parse_args(again))
    now = parser.parse_args(again + argv)
    for key, value in vars(now).items():
        if value == "auto":
            setattr(now, key, began[key])
    differing = [
        f"--{key.replace('_', '-')} {value} (it began with {began[key]})"
        for key, value in vars(now).items()
        if value != began[key] and key not in MAY_CHANGE
    ]
    if differing:
        raise UserError(
            f"the run in {folder} cannot go on with {', '.join(differing)}; --epochs, "
            "--evaluate-every, --checkpoint-minutes and the place of the --data may change"
        )
    return now, record["data"]


def command(script, folder, *options):
    """The command line that goes on with the run of `script` in `folder`."""
    words = ["python", f"{script}.py", "--resume", *options]
    if folder != Path("runs", script):
        words += ["--out", str(folder)]
    return shlex.join(words)


def identity(arguments, data):
    """What two runs have in common if one can go on from a checkpoint of the other: a dict."""
    kept = {key: value for key, value in vars(arguments).items() if key not in MAY_CHANGE}
    return kept | {"data": data["sha256"]}


def check_state(state, script, expected, folder):
    """Raise UserError unless a checkpoint's state is of this script, this Keras and this very run.

    `expected` is the `identity` of the run in `folder`.
    """
    run_folder.check_origin(state, script)
    found = state["run"]
    for name in expected:
        if found[name] != expected[name]:
            raise UserError(
                f"is of another run: its {name.replace('_', '-')} is {found[name]}, "
                f"that of {folder / 'run.json'} is {expected[name]}"
            )
