"""A knowledge base of images: found by words, by a picture, by both."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image as Pillow
from tests.kb_tools.charts import render_chart

from kb_tools import Catalog, Image, KnowledgeBase
from kb_tools.errors import KBInputError, UnreadableFileError

CHARTS = {
    "revenue": ("bar", "Revenue by region", "tab:blue"),
    "rain": ("line", "Rainfall in Bergen", "tab:green"),
    "votes": ("pie", "Votes in the council", "tab:red"),
    "heights": ("scatter", "Heights of trees", "tab:purple"),
}


@pytest.fixture(scope="module")
def charts() -> dict[str, bytes]:
    return {
        name: render_chart(kind, [3, 1, 4, 1, 5, 9][: 6 - n], title=title, colour=colour)
        for n, (name, (kind, title, colour)) in enumerate(CHARTS.items())
    }


@pytest.fixture
def pictures(catalog: Catalog, charts: dict[str, bytes]) -> KnowledgeBase:
    kb = catalog.create("pictures", description="Charts.", modality="image")
    kb.add(
        Image(id=name, data=charts[name], caption=title, metadata={"kind": kind})
        for name, (kind, title, _) in CHARTS.items()
    )
    return kb


def smaller(data: bytes) -> bytes:
    picture = Pillow.open(io.BytesIO(data)).convert("RGB")
    out = io.BytesIO()
    picture.resize((picture.width // 2, picture.height // 2)).save(out, "JPEG", quality=60)
    return out.getvalue()


def test_a_picture_is_found_by_what_its_caption_says(pictures: KnowledgeBase):
    hit = pictures.search("How much does it rain in Bergen?", k=1)[0]
    assert (hit.doc_id, hit.text, hit.modality) == ("rain", "Rainfall in Bergen", "image")


@pytest.mark.parametrize("name", CHARTS)
def test_a_picture_is_found_by_a_smaller_and_worse_copy_of_itself(pictures: KnowledgeBase, charts, name):
    hit = pictures.search(image=smaller(charts[name]), k=1)[0]
    assert (hit.doc_id, hit.found) == (name, {"visual": 1})
    assert hit.score > 0.8


def test_words_and_a_picture_both_count(pictures: KnowledgeBase, charts):
    hits = pictures.search("votes", k=4, image=smaller(charts["votes"]))
    assert hits[0].doc_id == "votes"
    assert set(hits[0].found) == {"dense", "lexical", "visual"}


def test_a_filter_holds_for_pictures_too(pictures: KnowledgeBase, charts):
    hits = pictures.search(image=charts["votes"], k=4, where={"kind": {"$ne": "pie"}})
    assert {hit.doc_id for hit in hits} == {"revenue", "rain", "heights"}


def test_within_holds_for_pictures_too(pictures: KnowledgeBase, charts):
    among = {"within": ["votes", "rain"], "k": 4}
    assert {hit.doc_id for hit in pictures.search(image=charts["heights"], **among)} == {"votes", "rain"}
    found = pictures.search(image=charts["rain"], where={"kind": "pie"}, **among)
    assert [hit.doc_id for hit in found] == ["votes"]


def test_bytes_come_back_and_deleted_pictures_are_gone(pictures: KnowledgeBase, charts):
    assert pictures.get(["rain"])[0].read() == charts["rain"]
    pictures.delete(["rain"])
    assert "rain" not in {hit.doc_id for hit in pictures.search(image=charts["rain"], k=3)}
    assert pictures.check() == []


def test_an_image_that_cannot_be_read_is_named(pictures: KnowledgeBase, tmp_path: Path):
    with pytest.raises(KBInputError, match=r"nowhere\.png.*cannot be read"):
        pictures.search(image=tmp_path / "nowhere.png", k=1)
    with pytest.raises(UnreadableFileError, match="'gone'"):
        pictures.add([Image(id="gone", path=str(tmp_path / "gone.png"))])
    with pytest.raises(UnreadableFileError, match="'broken'"):
        pictures.add([Image(id="broken", data=b"not a picture")])
    assert pictures.count() == 4
    assert pictures.check() == []


def test_a_picture_that_has_gone_from_the_disk_is_found_by_check(pictures: KnowledgeBase, charts, tmp_path: Path):
    file = tmp_path / "chart.png"
    file.write_bytes(charts["rain"])
    pictures.add([Image(id="on disk", path=str(file))])
    assert pictures.check() == []
    file.unlink()
    assert pictures.check() == [f"The picture {file} of 'on disk' is gone."]
