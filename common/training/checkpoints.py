"""The whole state of a training run in one .npz file, read and written without pickle.

Neither a `.keras` file nor `tf.train.Checkpoint` holds the seeds of dropout layers, so a run that
goes on from those is not the run that was stopped. `model.variables` lists them.
"""

import json
import zipfile

from common import UserError
from common.data.npz_files import read_array
from common.files import replacing

import numpy as np

FORMAT = 4
MOST_BYTES_OF_STATE = 1 << 26


def save(path, models, state):
    """Write all variables of the models and their optimizers, and `state` (JSON-like), to `path`.

    Raises OSError if the file cannot be written; an older file at `path` then stays.
    """
    arrays = {key: variable.numpy() for key, variable in _variables(models).items()}
    text = json.dumps({"format": FORMAT} | state)
    with replacing(path) as beside:
        np.savez(beside, state=np.frombuffer(text.encode(), np.uint8), **arrays)


def read(path, models, check_state):
    """Read what was saved for equally defined models: the arrays of their variables, the state.

    `check_state` is called with the state before anything else is read. Raises UserError if the
    file is damaged or was saved for other models, or if `check_state` does.
    """
    expected = _variables(models)
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            state = json.loads(read_array(archive, "state", MOST_BYTES_OF_STATE).tobytes())
            if not isinstance(state, dict) or state.get("format") != FORMAT:
                found = state.get("format") if isinstance(state, dict) else None
                raise UserError(f"is a checkpoint of format {found}, not of {FORMAT}")
            check_state(state)
            found = {name.removesuffix(".npy") for name in archive.namelist()} - {"state"}
            if odd := sorted(expected.keys() ^ found):
                where = "missing" if odd[0] in expected else "there, but nothing is expected"
                raise UserError(f"is of other models: {odd[0]} is {where}")
            arrays = {}
            for key, variable in expected.items():
                arrays[key] = read_array(archive, key, variable.numpy().nbytes)
    except UserError as problem:
        raise UserError(f"{path} {problem}") from None
    except Exception as problem:  # zipfile, zlib, numpy and json each have their own
        raise UserError(f"{path} is damaged or of other models: {problem}") from None
    for key, variable in expected.items():
        wanted = (variable.dtype, tuple(variable.shape))
        if wanted != (str(arrays[key].dtype), arrays[key].shape):
            raise UserError(
                f"{path} is of other models: {key} is {arrays[key].dtype} {arrays[key].shape} "
                f"where {wanted[0]} {wanted[1]} is expected"
            )
    return arrays, state


def restore(models, arrays):
    """Put the arrays that `read` has found for these models into their variables."""
    for key, variable in _variables(models).items():
        variable.assign(arrays[key])


def is_finite(models):
    """Whether every variable of the models is a number, neither NaN nor infinite."""
    return all(np.isfinite(variable.numpy()).all() for variable in _variables(models).values())


def _variables(models):
    """Name every variable once. The composite's own weights are those of its generator."""
    found, seen = {}, set()
    for name, model in models.items():
        variables = list(model.variables)
        if model.compiled:
            if not model.optimizer.built:  # a second build would give it a second loss scale
                model.optimizer.build(model.trainable_variables)
            variables += model.optimizer.variables
        for number, variable in enumerate(variables):
            if id(variable) not in seen:
                seen.add(id(variable))
                found[f"{name}/{number:03d}"] = variable
    return found
