"""PASCAL VOC: a folder of XML files, one an image, and lists of images in ImageSets/Main.

How its pixels become our edges is said in voc_xml.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from noisedash.datasets.checks import Severity
from noisedash.datasets.dataset import Boxes, Dataset, rows_by_image
from noisedash.datasets.raw import IMAGE_SUFFIXES, RawDataset, RawImage, is_below
from noisedash.datasets.references import ImageReferences, refer_to_image
from noisedash.datasets.voc_xml import AnnotatedObject, FirstPixel, Sheet, read_sheet, sheet_text
from noisedash.errors import DataError
from noisedash.files import written_aside

LISTS = Path("ImageSets") / "Main"
PARTS = ("train", "val", "test")
WHOLES = ("trainval", "default")
"""Lists that say less of an image than train, val or test do."""


def find_voc(path: Path) -> list[tuple[Path, Path]]:
    """(base, folder of the XML files) of each VOC set at `path` or one level below it."""
    if not path.is_dir():
        return []
    bases = [path, *sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))]
    found = [(base, base / "Annotations") for base in bases if _holds_xml(base / "Annotations")]
    return found or ([(path, path)] if _holds_xml(path) else [])


def _holds_xml(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.xml"))


def read_voc(path: Path, *, images: Path | None = None, first_pixel: FirstPixel = 1) -> RawDataset:
    """Read the VOC set at `path` or one level below it.

    `images` is the folder of the images where they are not beside the annotations. Where ImageSets/Main holds lists,
    the images are those listed, each in the most specific list (train rather than trainval). The classes are those of
    classes.txt where there is one, then all others by name. Raises DataError where there is no or more than one set.
    """
    path = path.resolve()
    found = find_voc(path)
    if len(found) != 1:
        several = ", ".join(base.name for base, _ in found)
        what = f"holds several PASCAL VOC sets ({several}): add one of them" if found else "holds no PASCAL VOC set"
        raise DataError(f"{path} {what}.")
    base, annotation_folder = found[0]
    raw = RawDataset("voc" if first_pixel == 1 else "voc-zero-based", base)
    xml_files = {file.stem: file for file in sorted(annotation_folder.glob("*.xml"))}
    split_of = _read_lists(raw, base, xml_files)
    sheets = list(_read_sheets(raw, base, xml_files, split_of, first_pixel))
    gallery = _find_gallery(base, annotation_folder, images, sheets, path)
    raw.root = base if images is None and gallery.folder.is_relative_to(base) else gallery.folder
    raw.classes = _class_names(base, sheets)
    _collect(raw, sheets, split_of, gallery)
    _note_zeros(raw, sheets, first_pixel)
    return raw


def _read_lists(raw: RawDataset, base: Path, xml_files: dict[str, Path]) -> dict[str, str]:
    """The split of each listed image, by stem; empty where there are no lists."""
    lists = {file.stem: file for file in sorted((base / LISTS).glob("*.txt")) if not _is_class_list(file.stem)}
    order = [*PARTS, *sorted(set(lists) - set(PARTS) - set(WHOLES)), *WHOLES]
    split_of: dict[str, str] = {}
    for name in (name for name in order if name in lists):
        where = lists[name].relative_to(base).as_posix()
        for line in filter(None, map(str.strip, lists[name].read_text(errors="replace").splitlines())):
            stem = next((stem for stem in (line, Path(line).stem) if stem in xml_files), line)
            if stem not in xml_files and stem not in split_of:
                raw.report(Severity.ERROR, f"Annotations/{stem}.xml", None, f"is missing, but listed in {where}.")
            earlier = split_of.setdefault(stem, "" if name == "default" else name)
            if earlier != name and name in PARTS:
                message = f"lists {stem}, which is in {earlier}.txt too; it is taken as {earlier!r}."
                raw.report(Severity.WARNING, where, None, message)
    unlisted = len(xml_files.keys() - split_of.keys())
    if split_of and unlisted:
        message = f"Annotated images in no list of {LISTS.as_posix()} are left out: {unlisted}."
        raw.report(Severity.NOTE, "", None, message)
    return split_of


def _is_class_list(stem: str) -> bool:
    """Whether a list is of one class, as in 'aeroplane_train'."""
    return stem.rpartition("_")[0] != "" and stem.rpartition("_")[2] in (*PARTS, "trainval")


def _read_sheets(
    raw: RawDataset, base: Path, xml_files: dict[str, Path], split_of: dict[str, str], first_pixel: FirstPixel
) -> Iterator[Sheet]:
    for stem, path in xml_files.items():
        if split_of and stem not in split_of:
            continue
        file = path.relative_to(base).as_posix()
        try:
            root = fromstring(path.read_bytes())
        except DefusedXmlException:
            raw.report(Severity.ERROR, file, None, "defines XML entities, which no VOC file needs and are not read.")
        except OSError as error:
            raw.report(Severity.ERROR, file, None, f"cannot be read ({error.strerror}).")
        except (ParseError, LookupError, ValueError) as error:
            fault = "is empty." if path.stat().st_size == 0 else f"is not whole XML ({error})."
            raw.report(Severity.ERROR, file, None, fault)
        else:
            if root.tag == "annotation":
                yield read_sheet(root, stem, file, first_pixel)
            else:
                message = f"is not of PASCAL VOC: its root is <{root.tag}>, not <annotation>."
                raw.report(Severity.ERROR, file, None, message)


class _Gallery:
    """A folder of images and how an XML file finds its own there."""

    def __init__(self, folder: Path):
        self.folder = folder
        names = sorted(child.name for child in folder.iterdir()) if folder.is_dir() else []
        self._name_of = {Path(name).stem: name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES}

    def find(self, sheet: Sheet) -> str | None:
        """The image named as the XML file, else as its <filename>, below <folder> or not."""
        if sheet.stem in self._name_of:
            return self._name_of[sheet.stem]
        for name in (f"{sheet.folder}/{sheet.filename}", sheet.filename):
            if sheet.filename and is_below(name) and (self.folder / name).is_file():
                return name
        return None


def _find_gallery(
    base: Path, annotation_folder: Path, images: Path | None, sheets: list[Sheet], path: Path
) -> _Gallery:
    """The first likely folder that holds one of the images."""
    folders = list(_likely_folders(base, annotation_folder)) if images is None else [images.resolve()]
    for folder in folders:
        gallery = _Gallery(folder)
        if any(gallery.find(sheet) is not None for sheet in sheets):
            return gallery
    if not sheets:
        return _Gallery(base)
    looked = ", ".join(str(folder) for folder in folders if folder.is_dir())
    raise DataError(
        f"No image of {path} was found; looked in {looked or images}: say where they are with --images FOLDER."
    )


def _likely_folders(base: Path, annotation_folder: Path) -> Iterator[Path]:
    yield from (base / "JPEGImages", annotation_folder)
    for ancestor in (base, *list(base.resolve().parents)[:2]):
        yield from (ancestor / "images", ancestor / "JPEGImages", ancestor)


def _class_names(base: Path, sheets: Iterable[Sheet]) -> tuple[str, ...]:
    listed = base / "classes.txt"
    lines = listed.read_text(errors="replace").splitlines() if listed.is_file() else []
    first = list(dict.fromkeys(filter(None, map(str.strip, lines))))
    found = {annotated.name for sheet in sheets for annotated in sheet.objects}
    return (*first, *sorted(found - set(first)))


def _collect(raw: RawDataset, sheets: list[Sheet], split_of: dict[str, str], gallery: _Gallery) -> None:
    class_id = {name: index for index, name in enumerate(raw.classes)}
    prefix = gallery.folder.relative_to(raw.root)
    for sheet in sheets:
        name = gallery.find(sheet) or (sheet.filename if is_below(sheet.filename) else f"{sheet.stem}.jpg")
        file = (prefix / name).as_posix()
        row = raw.add_image(RawImage(file, sheet.width, sheet.height, split_of.get(sheet.stem, ""), sheet.file))
        if row is None:
            continue
        raw.problems += sheet.problems
        for annotated in sheet.objects:
            raw.boxes.append(
                row,
                class_id[annotated.name],
                annotated.xyxy,
                annotated.number,
                crowd=annotated.crowd,
                difficult=annotated.difficult,
                truncated=annotated.truncated,
                outline_area=annotated.outline_area,
            )


def _note_zeros(raw: RawDataset, sheets: list[Sheet], first_pixel: FirstPixel) -> None:
    zeros = sum(min(annotated.xyxy[:2]) == -1 for sheet in sheets for annotated in sheet.objects)
    if zeros and first_pixel == 1:
        message = (
            f"Boxes with a left or top of 0, though PASCAL VOC counts from 1: {zeros}; "
            "if this set counts from 0, add it with --format voc-zero-based."
        )
        raw.report(Severity.NOTE, "", None, message)


def write_voc(dataset: Dataset, boxes: Boxes, out: Path, *, images: ImageReferences = "none") -> None:
    """Write `boxes` over the images of `dataset` as a VOC set into the new folder `out`, wholly or not at all.

    `images`: 'link' or 'copy' puts the pictures into JPEGImages; with 'none' read the set back with
    `read_voc(out, images=dataset.root)`. Read back, boxes, classes, flags and splits are the very same. A crowd flag
    is written as <crowd>, an outline's area as <outline_area>; other readers pass over both. Raises StorageError, and
    DataError where a picture is gone.
    """
    stems = _unique_stems(dataset.images.file)
    rows_of_image = rows_by_image(boxes.image_index, len(dataset.images))
    with written_aside(out) as aside:
        (aside / "Annotations").mkdir()
        for row, (file, stem) in enumerate(zip(dataset.images.file, stems, strict=True)):
            place = Path(file) if images == "none" else Path("JPEGImages", stem + Path(file).suffix)
            refer_to_image(dataset, row, aside / place, images)
            sheet = Sheet(
                stem,
                file=f"{stem}.xml",
                folder="" if place.parent == Path() else place.parent.as_posix(),
                filename=place.name,
                width=int(dataset.images.width[row]),
                height=int(dataset.images.height[row]),
                objects=_objects(dataset, boxes.take(rows_of_image[row])),
            )
            (aside / "Annotations" / sheet.file).write_text(sheet_text(sheet), encoding="utf-8")
        (aside / "classes.txt").write_text("".join(f"{name}\n" for name in dataset.classes), encoding="utf-8")
        _write_lists(dataset.images.split, stems, aside / LISTS)


def _unique_stems(files: tuple[str, ...]) -> list[str]:
    """A name for each image's XML file: the image's own without suffix, with its folders where that is not unique."""
    stems = [Path(file).stem for file in files]
    seen = Counter(stems)
    taken = {stem for stem in stems if seen[stem] == 1}
    for row, file in enumerate(files):
        if seen[stems[row]] > 1:
            name = file.replace("/", "__")
            while name in taken:
                name += "_"
            taken.add(name)
            stems[row] = name
    return stems


def _objects(dataset: Dataset, boxes: Boxes) -> list[AnnotatedObject]:
    return [
        AnnotatedObject(
            row + 1,
            dataset.classes[boxes.class_id[row]],
            tuple(boxes.xyxy[row].tolist()),
            difficult=bool(boxes.difficult[row]),
            truncated=bool(boxes.truncated[row]),
            crowd=bool(boxes.crowd[row]),
            outline_area=float(boxes.outline_area[row]),
        )
        for row in range(len(boxes))
    ]


def _write_lists(splits: tuple[str, ...], stems: list[str], folder: Path) -> None:
    """ImageSets/Main, unless no image has a split; 'default' lists those without."""
    named: dict[str, list[str]] = {split: [] for split in sorted(set(splits))} if any(splits) else {}
    for split, stem in zip(splits, stems, strict=True):
        if named:
            named[split].append(stem)
    if {"train", "val"} <= named.keys():
        named["trainval"] = [*named["train"], *named["val"], *named.get("trainval", [])]
    folder.mkdir(parents=True)
    for split, listed in named.items():
        (folder / f"{split or 'default'}.txt").write_text("".join(f"{stem}\n" for stem in listed), encoding="utf-8")
