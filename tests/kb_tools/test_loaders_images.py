"""png, jpg and webp with the words of their sidecars."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from PIL import Image as Pillow

from kb_tools.documents import Image
from kb_tools.errors import UnreadableFileError
from kb_tools.loaders import read_file


def paint(path: Path, colour: str = "red") -> Path:
    Pillow.effect_noise((64, 48), 50).convert("RGB").save(path) if colour == "noise" else Pillow.new(
        "RGB", (64, 48), colour
    ).save(path)
    return path


def read(path: Path) -> Image:
    (image,) = read_file(path, path.as_posix(), "image")
    assert isinstance(image, Image)
    return image


def refused(path: Path) -> str:
    with pytest.raises(UnreadableFileError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message and message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "PNG"])
def test_a_picture_is_an_image_by_path(tmp_path: Path, suffix: str) -> None:
    image = read(paint(tmp_path / f"red square.{suffix}"))
    assert (image.id, image.title, image.caption) == (f"red square.{suffix}", "red square", "")
    assert image.path == str(tmp_path / f"red square.{suffix}") and image.data is None


@pytest.mark.parametrize("name", ["a.png.json", "a.json"])
def test_an_object_beside_it_gives_words_and_metadata(tmp_path: Path, name: str) -> None:
    fields = {"caption": "A red square", "alt": "red", "title": "Square", "year": 2024, "source": "web", "tags": ["x"]}
    (tmp_path / name).write_text(json.dumps(fields))
    image = read(paint(tmp_path / "a.png"))
    assert (image.caption, image.alt, image.title) == ("A red square", "red", "Square")
    assert image.metadata["year"] == 2024 and image.metadata["tags"] == ["x"]
    assert image.metadata["source"] == (tmp_path / "a.png").as_posix() and image.metadata["row_source"] == "web"


@pytest.mark.parametrize("name", ["a.jpg.txt", "a.txt"])
def test_a_text_beside_it_is_the_caption(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(" A red square\n")
    assert read(paint(tmp_path / "a.jpg")).caption == "A red square"


def test_the_sidecar_with_the_full_name_wins_and_a_text_fills_a_missing_caption(tmp_path: Path) -> None:
    (tmp_path / "a.png.json").write_text('{"alt": "full"}')
    (tmp_path / "a.json").write_text('{"alt": "short", "caption": "short"}')
    (tmp_path / "a.txt").write_text("from the text")
    image = read(paint(tmp_path / "a.png"))
    assert (image.alt, image.caption) == ("full", "from the text")


def test_a_repainted_picture_is_a_changed_document(tmp_path: Path) -> None:
    before = read(paint(tmp_path / "a.png")).digest()
    assert read(paint(tmp_path / "a.png")).digest() == before
    assert read(paint(tmp_path / "a.png", "blue")).digest() != before


@pytest.mark.parametrize("sidecar", ["{broken", "[1]", '{"caption": 3}', "[" * 100_000])
def test_a_bad_sidecar_is_named(tmp_path: Path, sidecar: str) -> None:
    paint(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(sidecar)
    assert "sidecar a.json" in refused(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_cut_picture_is_damaged(tmp_path: Path, suffix: str) -> None:
    path = paint(tmp_path / f"a.{suffix}", "noise")
    path.write_bytes(path.read_bytes()[:-200])
    assert "damaged" in refused(path)


def test_what_is_no_picture_or_one_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"hello")
    assert "no png" in refused(tmp_path / "a.png")
    Pillow.new("RGB", (2, 2)).save(tmp_path / "b.gif")
    (tmp_path / "b.gif").rename(tmp_path / "b.png")
    assert "no png" in refused(tmp_path / "b.png")


@pytest.mark.parametrize("side", [9_600, 20_000])
def test_a_picture_that_would_flood_the_memory_is_refused_before_it_is_unpacked(tmp_path: Path, side: int) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(10))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "pixels" in refused(tmp_path / "a.png")
