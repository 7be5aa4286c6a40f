"""The user's own images with their labels, in the formats that `_FORMATS` lists.

They are cut to squares, grey or in colour, of 8 bits per channel. Labels may be integers, names, or
one-hot rows.
"""

import contextlib
import sys
import zipfile

from common.data import arrays, class_folders, converting
from common.data.reading import beginning, expand, kind_of, listed, opened, reporting

import numpy as np

_FORMATS = (
    "an .npz or .npy file, IDX files (plain or .gz), a .csv file, or a folder or .zip with a "
    "folder of pictures for each class"
)
_DARK = 64  # if no pixel of any image is brighter, of 255, a warning is printed
_FEW_STEPS = 10  # if an epoch has fewer, a warning is printed


def read(
    source, parts, standard_names, choose, labels_needed=True, n_batch=None, standard=None, **form
):
    """Read images, report how they were converted, and warn of what looks like a mistake.

    Args:
        parts: the parts to read if the data set is divided into parts: "train", "test" or both.
        standard_names: the names of classes 0, 1, ... for the images of the standard data set.
        choose: a function of the number of images that returns the indices of those to be used.
        standard: the path of images of the standard data set. Other images whose labels are numbers
            get the standard names only if they look like these. None if they are the standard ones.

    For the rest see `datasets.load_mnist`. Returns images uint8 (N, H, H, C), labels int32 (N,),
    and the class names. Raises UserError if the images or labels cannot be read or converted.
    """
    path = expand(source)
    with reporting(path), contextlib.ExitStack() as unpacked:
        if not path.exists():
            raise ValueError("no such file or folder: give auto, full, sample or a path")
        found = arrays.read(path, parts)
        if found is None:
            if not path.is_dir() and not kind_of(beginning(path)) and not zipfile.is_zipfile(path):
                raise ValueError(f"its format is not known: give {_FORMATS}")
            folder = unpacked.enter_context(opened(path))
            found = arrays.read(folder, parts)
        array, labels, names = found or (None, None, ())
        if found:
            chosen = choose(count := len(np.atleast_1d(array)))
            some = array if len(chosen) == count else array[chosen]
            images, done = converting.to_images(some, **form)
        else:
            options = parts, labels_needed, choose
            images, labels, done = class_folders.read(folder, *options, **form)
            count = len(images) if labels is None else len(labels)
        if labels is None and labels_needed:
            raise ValueError("it holds images and no labels")
        if labels is None:
            labels, class_names = np.zeros(len(images), "int32"), ()
        else:
            labels, class_names = converting.to_classes(labels, count, names)
            are_numbers = set(class_names) <= set(map(str, range(len(standard_names))))
            is_known = standard is None or _are_alike(array, labels, class_names, standard)
            if are_numbers and not names and is_known:
                class_names = tuple(standard_names[int(number)] for number in class_names)
                if missing := len(standard_names) - len(class_names):
                    done.append(f"the other {missing} classes do not occur")
            labels = labels[choose(count)]
    if len(images) < (n_batch or 0):  # the caller will report this error, and that is enough
        return images, labels, class_names
    if done or class_names != standard_names:
        print(f"{source}: {_description(images, class_names, done)}", file=sys.stderr)
    for warning in _warnings_about(images, labels, class_names, n_batch or 0, labels_needed):
        print(f"warning: {warning}", file=sys.stderr)
    return images, labels, class_names


def _are_alike(array, labels, class_names, standard):
    """Whether the mean image of most classes is most like that of the same number in a standard."""
    if array is None or array[0].size != 28 * 28 or not all(map(str.isdecimal, class_names)):
        return False
    with np.load(standard) as known:
        sets = (array, labels), (known["x_train"], known["y_train"])
        means = [
            images[classes == number].mean(axis=0).ravel()
            for images, classes in sets
            for number in np.unique(classes)
        ]
    with np.errstate(all="ignore"):  # a mean image may be of one shade
        similarity = np.corrcoef(means)[: len(class_names), len(class_names) :]
    return (similarity.argmax(axis=1) == np.array(class_names, int)).mean() > 0.5


def _description(images, class_names, done):
    count, height, width, channels = images.shape
    text = f"{count:,} {'grey' if channels == 1 else 'colour'} images of {height} x {width}"
    if class_names:
        few = "class" if len(class_names) == 1 else "classes"
        text += f" in {len(class_names)} {few}: {listed(class_names)}"
    return "; ".join([text, *done])


def _warnings_about(images, labels, class_names, n_batch, labels_needed):
    """Yield a warning about each thing that is allowed, but looks like a mistake."""
    if len(images) > 1 and (images == images[0]).all():
        yield "all images are identical"
    elif images.max() < _DARK:
        yield f"the brightest pixel of all images is {images.max()} of 255: they are almost black"
    if n_batch and len(images) // n_batch < _FEW_STEPS:
        steps = f"{len(images) // n_batch}, each of {n_batch} images"
        yield f"few steps in an epoch ({steps}): give a smaller --batch-size and many more --epochs"
    if labels_needed and len(class_names) == 1:
        yield f"all images are of one class, {class_names[0]}: labels will teach the model nothing"
    counts = dict(zip(class_names, np.bincount(labels, minlength=len(class_names)), strict=False))
    if missing := [name for name, count in counts.items() if not count]:
        yield f"{len(images)} images hold none of {listed(missing)}"
    if few := [f"{name} ({n})" for name, n in counts.items() if 0 < n < n_batch // 2]:
        yield f"classes of fewer images than half a batch ({n_batch // 2}): {listed(few)}"
