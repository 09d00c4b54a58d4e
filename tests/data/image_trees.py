"""Trees of images for the tests, and a count of what Pillow decodes."""

from pathlib import Path

import pytest
from PIL import Image, ImageFile


def write_images(root: Path, files: dict[str, object]) -> Path:
    """Write files below `root` and return it: `write_images(root, {"train/cat/a.png": pixels})`.

    Pixels are uint8 of shape (H, W), (H, W, 3) or (H, W, 4), an image, or bytes written as is.
    """
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            image = content if isinstance(content, Image.Image) else Image.fromarray(content)
            image.save(path)
    return root


def count_decodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the path of each file that Pillow decodes from now on."""
    decoded: list[str] = []
    load = ImageFile.ImageFile.load

    def counted(image: ImageFile.ImageFile) -> object:
        if image.tile:  # the parts of the file that are still to be decoded
            decoded.append(str(image.filename))
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    return decoded
