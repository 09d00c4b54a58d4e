"""Fixtures of the tests of data sets."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from PIL import Image, ImageFile


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch's threads wait for each other, and on a busy machine for long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a user's module into the working folder: `user_module("nets", "class Net: ...")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(dedent(code))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


@pytest.fixture
def image_tree(tmp_path: Path) -> Callable[[dict[str, object]], Path]:
    """Write images below one folder: `image_tree({"train/cat/a.png": pixels})`.

    Pixels are uint8 of shape (H, W), (H, W, 3) or (H, W, 4), an image, or bytes written as is.
    """
    root = tmp_path / "images"

    def write(files: dict[str, object]) -> Path:
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                image = content if isinstance(content, Image.Image) else Image.fromarray(content)
                image.save(path)
        return root

    return write


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that Pillow has decoded since the test began."""
    decoded: list[str] = []
    load = ImageFile.ImageFile.load

    def counted(image: ImageFile.ImageFile) -> object:
        if image.tile:  # the parts of the file that are still to be decoded
            decoded.append(str(image.filename))
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    return decoded
