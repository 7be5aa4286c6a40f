"""The user's own images with their labels, in one of these formats:

    a folder    with a folder of pictures for each class, in any format that Pillow reads, or a zip
                file of such a folder (common/data/class_folders.py)
    .npz        with arrays x_train and y_train, or images and labels (common/data/npz_files.py)
    IDX files   the format of MNIST, plain or gzipped: the folder of the files for images and
                labels, or the path of one of the two
    .csv        with lines label,pixel0,pixel1,... (common/data/csv_files.py)

The images are cut to squares, grey or in colour, of 8 bits per channel. Labels may be integers,
names, or one-hot rows.
"""

import contextlib
import sys
import zipfile

from common.data import arrays, class_folders, csv_files, idx_files, npz_files
from common.data.reading import MissingPart, expand, listed, reporting

import numpy as np

_FORMATS = (
    "an .npz file, IDX files (plain or .gz), a .csv file, or a folder or .zip with a folder of "
    "pictures for each class"
)
_DARK = 64  # if no pixel of any image is brighter, of 255, a warning is printed
_FEW_STEPS = 10  # if an epoch has fewer, a warning is printed


def read(
    source,
    parts,
    standard_names,
    image_size=None,
    channels=None,
    labels_needed=True,
    n_batch=None,
    from_user=False,
):
    """Read images, report how they were converted, and warn of what looks like a mistake.

    Args:
        source: a path, in which `~` is the home folder.
        parts: the parts to read if the data set is divided into parts: "train", "test" or both.
        standard_names: the names of classes 0, 1, ... for grey images of 28 x 28 pixels with
            numbers as labels and no names of their own.
        image_size, channels, labels_needed, n_batch: see `datasets.load_mnist`.
        from_user: whether to report also that the standard names were given to the classes.

    Returns images uint8 (N, H, H, C), labels int32 (N,), and the class names. Raises UserError if
    the images or labels cannot be read or converted.
    """
    path = expand(source)
    with reporting(path):
        if not path.exists():
            raise ValueError("no such file or folder: give auto, full, sample or a path")
        if not (path.is_file() or path.is_dir()):
            raise ValueError("it is neither a file nor a folder")
        is_zip = path.is_file() and zipfile.is_zipfile(path) and not npz_files.is_npz(path)
        if is_zip or (path.is_dir() and not idx_files.is_idx(path)):
            images, labels, done = class_folders.read(
                path, parts, labels_needed, image_size, channels
            )
            known_names = ()
        else:
            array, labels, known_names = _read_arrays(path, parts)
            images, done = arrays.to_images(array, image_size, channels)
            has_numbers = labels is not None and labels.dtype.kind in "buif"
            if not known_names and has_numbers and array[0].size == 28 * 28:
                known_names = standard_names
        if labels is None and labels_needed:
            raise ValueError("it holds images and no labels")
        if labels is None:
            labels, class_names = np.zeros(len(images), "int32"), ()
        else:
            labels, class_names = arrays.to_classes(labels, len(images), known_names)
            if known_names == standard_names and set(class_names) < set(standard_names):
                done.append(
                    f"the other {len(standard_names) - len(class_names)} classes do not occur"
                )
    if len(images) < (n_batch or 0):  # the caller will report this error, and that is enough
        return images, labels, class_names
    if from_user and class_names and known_names == standard_names:
        done.append("the labels have no names, and are taken for those of the standard data set")
    if done or class_names != standard_names:
        print(f"{source}: {_description(images, class_names, done)}", file=sys.stderr)
    for warning in _warnings_about(images, labels, class_names, n_batch or 0):
        print(f"warning: {warning}", file=sys.stderr)
    return images, labels, class_names


def _read_arrays(path, parts):
    """Read images, labels (or None) and class names (perhaps none) of the parts that exist."""
    if path.suffix.lower() == ".csv":
        return *csv_files.read(path), ()
    if idx_files.is_idx(path):
        read_part = idx_files.read_part
    elif zipfile.is_zipfile(path):
        read_part = npz_files.read_part
    elif path.suffix == ".npz":
        raise ValueError("it is damaged: an .npz file is a zip file, but this is none")
    else:
        raise ValueError(f"its format is not known: give {_FORMATS}")
    found = [read_part(path, parts[0])]
    for part in parts[1:]:
        with contextlib.suppress(MissingPart):
            found.append(read_part(path, part))
    if len(found) == 1:
        return found[0]
    images, labels, names = zip(*found, strict=True)
    has_labels = all(array is not None for array in labels)
    return np.concatenate(images), np.concatenate(labels) if has_labels else None, names[0]


def _description(images, class_names, done):
    count, height, width, channels = images.shape
    kind = "grey" if channels == 1 else "colour"
    text = f"{count:,} {kind} images of {height} x {width}"
    if class_names:
        few = "class" if len(class_names) == 1 else "classes"
        text += f" in {len(class_names)} {few}: {listed(class_names)}"
    return "; ".join([text, *done])


def _warnings_about(images, labels, class_names, n_batch):
    """Yield a warning about each thing that is allowed, but looks like a mistake."""
    if len(images) > 1 and (images == images[0]).all():
        yield "all images are identical"
    elif images.max() < _DARK:
        yield f"the brightest pixel of all images is {images.max()} of 255: they are almost black"
    if n_batch and len(images) // n_batch < _FEW_STEPS:
        yield (
            f"few steps in an epoch ({len(images) // n_batch}, each of {n_batch} images): give a "
            "smaller --batch-size and many more --epochs"
        )
    counts = np.bincount(labels, minlength=len(class_names))
    few = [
        f"{name} ({n})" for name, n in zip(class_names, counts, strict=False) if n < n_batch // 2
    ]
    if few:
        yield f"classes of fewer images than half a batch ({n_batch // 2}): {listed(few)}"
