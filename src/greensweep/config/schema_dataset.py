"""The options of data sets."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from omegaconf import MISSING

from greensweep.config.groups import Group
from greensweep.config.options import option


@dataclass
class DatasetConfig(Group):
    reader: ClassVar[str]  # import path of a function that takes the options
    targets: ClassVar[tuple[str, ...]] = ("classes",)  # of several, the reader takes which as well

    name: Any = option(MISSING, doc="name under which runs record the data set")
    train_limit: int | None = option(
        None,
        doc="train on a seeded subset of this size, of classes a stratified one",
        at_least=1,
        example=2000,
    )
    evaluation_limit: int | None = option(
        None, doc="validate and test on subsets of at most this size", at_least=1, example=2000
    )
    validation_fraction: float = option(
        0.15, doc="share of the training data held out for validation", above=0, below=1
    )
    test_fraction: float = option(
        0.2, doc="share held out for testing where the data set has no test split", above=0, below=1
    )


@dataclass
class ImageDatasetConfig(DatasetConfig):
    image_size: int | None = option(
        None, doc="resize to this height and width, pixels", at_least=1, largest=2**14, example=32
    )
    memory_share: float = option(
        0.5, doc="largest share of free memory that a data set may fill", above=0, at_most=1
    )


@dataclass
class DigitsConfig(ImageDatasetConfig, choice="digits"):
    reader = "greensweep.data.digits:digits"

    name: str = option("digits", doc="name under which runs record the data set")


@dataclass
class TorchvisionDatasetConfig(ImageDatasetConfig, choice="torchvision"):
    reader = "greensweep.data.downloads:downloaded"

    name: Literal["mnist", "fashion_mnist", "cifar10", "cifar100"] = option(
        MISSING, doc="name of the data set"
    )
    root: str = option("data/downloads", doc="folder of the data set's own files", path=True)
    download: bool = option(True, doc="fetch missing files")


@dataclass
class ImageFolderConfig(ImageDatasetConfig, choice="image_folder"):
    reader = "greensweep.data.image_folder:image_folder"

    name: str = option("image_folder", doc="name under which runs record the data set")
    root: str = option(
        MISSING, doc="folder with train/<class>/* and optional val/ and test/", path=True
    )
    corrupt: Literal["fatal", "skip"] = option("fatal", doc="what to do with an unreadable image")
    cache: str | None = option(
        "data/cache", doc="folder that keeps decoded images; null keeps none", path=True
    )


@dataclass
class TableConfig(DatasetConfig, choice="table"):
    reader, targets = "greensweep.data.table:table", ("classes", "labels", "values")

    name: str = option("table", doc="name under which runs record the data set")
    path: str = option(MISSING, doc="CSV or Parquet file", path=True)
    target_column: Any = option(
        MISSING, doc="column that is learnt; a list for several labels or values"
    )
    columns: list[str] | None = option(
        None, doc="columns that are learnt from; null: all but the target"
    )
    drop_columns: list[str] = option(list, doc="columns that are left out")
    validation_path: str | None = option(
        None, doc="file of rows to validate on; null holds some out", path=True
    )
    test_path: str | None = option(
        None, doc="file of rows to test on; null holds some out", path=True
    )


@dataclass
class CustomDatasetConfig(ImageDatasetConfig, choice="custom"):
    reader, targets = "greensweep.data.custom:custom", ("classes", "labels", "values")

    name: str = option("custom", doc="name under which runs record the data set")
    target: str = option(MISSING, doc="import path of a function that returns the splits")
    kwargs: dict[str, Any] = option(dict, doc="arguments of that function")
    layout: Literal["auto", "NCHW", "NHWC", "NHW", "NCL"] = option(
        "auto",
        doc="axes of its inputs: images with channels first, with channels last, or grey; signals; "
        "or as their shape suggests",
    )
