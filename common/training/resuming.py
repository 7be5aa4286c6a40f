"""Which arguments a resumed run has, and which checkpoint it can continue from."""

import shlex
from pathlib import Path

from common import UserError
from common.training import run_folder
from common.training.progress import Progress

# These may differ from what the run began with.
MAY_CHANGE = (
    *("epochs", "data", "checkpoint_minutes", "evaluate_every", "gpus"),
    *("out", "resume", "overwrite"),
)


def read_record(folder, script):
    """Read the run.json of a run that can be resumed. Raises UserError if there is none."""
    record = run_folder.read_record(folder, script)
    finished = Progress(epochs=record["epochs_finished"])
    if finished.epochs and not (folder / "checkpoint.npz").exists():
        raise UserError(
            f"cannot resume after {finished}: {folder} has no checkpoint.npz; "
            f"{run_folder.START_ANEW}"
        )
    return record


def arguments_of(record, parser, argv):
    """The arguments of a resumed run: those that it began with, except where `argv` changes them.

    `record` is what `read_record` returns, and the arguments are as `parser` returns them. Raises
    UserError if `argv` changes an argument that is not in `MAY_CHANGE`.
    """
    # The source that "auto" has found, since it may find another one now.
    stored = record["arguments"] | {"data": record["data"]["source"]}
    stored_argv = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in stored.items()
        if value is not None and value is not False
    ]
    began = vars(parser.parse_args(stored_argv))
    now = parser.parse_args(stored_argv + argv)
    for key, value in vars(now).items():
        if value == "auto":  # for example --data auto: keep what it has found when the run began
            setattr(now, key, began[key])
    differing = [
        f"--{key.replace('_', '-')} {value} (it began with {began[key]})"
        for key, value in vars(now).items()
        if value != began[key] and key not in MAY_CHANGE
    ]
    if differing:
        raise UserError(
            f"the run in {now.out} cannot go on with {', '.join(differing)}; --epochs, "
            "--evaluate-every, --gpus, --checkpoint-minutes and the place of the --data may change"
        )
    return now


def on_all_machines(arguments):
    """The arguments that must be the same on all machines that train together, as strings."""
    return {
        f"--{name.replace('_', '-')}": str(value)
        for name, value in vars(arguments).items()
        if name not in ("out", "data")
    }


def command(script, folder, *options):
    """The command line that resumes the run of `script` in `folder`."""
    words = ["python", f"{script}.py", "--resume", *options]
    if folder != Path("runs", script):
        words += ["--out", str(folder)]
    return shlex.join(words)


def identity(arguments, data):
    """The settings that a run and its checkpoint must have in common: a dict."""
    kept = {key: value for key, value in vars(arguments).items() if key not in MAY_CHANGE}
    return kept | {"data": data["sha256"]}


def check_state(state, script, expected, folder):
    """Raise UserError if a checkpoint's state is of another script, version of Keras, or run.

    `expected` is the `identity` of the run in `folder`.
    """
    run_folder.check_origin(state, script)
    found = state["run"]
    for name in expected:
        if found[name] != expected[name]:
            raise UserError(
                f"is of another run: its {name.replace('_', '-')} is {found[name]}, "
                f"but {expected[name]} in {folder / 'run.json'}"
            )
