"""Pictures: decoding, their words, and the feature without weights.

`python tests/kb_tools/test_images.py` measures VisualFeatures on five sets of charts, beside two simple features.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from charts import KINDS, alterations, draw_charts, render_chart
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from kb_tools.documents import Image
from kb_tools.embeddings.visual import VisualFeatures
from kb_tools.errors import UnreadableFileError
from kb_tools.images import MAX_PIXELS, ImageEmbedder, decode, file_words, words

CHART = render_chart("bar", [3, 1, 2], title="Sales", colour="tab:blue")


def saved(picture: Pillow.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=format, **options)
    return out.getvalue()


class TestDecode:
    def test_every_mode_and_format_becomes_rgb_of_the_same_size(self):
        cases = [("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
        cases += [("JPEG", "CMYK"), ("WEBP", "RGBA"), ("BMP", "RGB"), ("TIFF", "F"), ("TIFF", "I"), ("GIF", "P")]
        for format, mode in cases:
            picture = decode(saved(Pillow.new(mode, (7, 5)), format))
            assert (picture.mode, picture.size) == ("RGB", (7, 5)), (format, mode)

    def test_transparent_is_white_and_opaque_keeps_its_colour(self):
        assert decode(saved(Pillow.new("RGBA", (4, 4), (255, 0, 0, 0)))).getpixel((1, 1)) == (255, 255, 255)
        assert decode(saved(Pillow.new("RGBA", (4, 4), (255, 0, 0, 255)))).getpixel((1, 1)) == (255, 0, 0)
        palette = Pillow.new("P", (4, 4), 0)
        assert decode(saved(palette, transparency=0)).getpixel((1, 1)) == (255, 255, 255)

    def test_exif_orientation_turns_the_picture_upright(self):
        exif = Pillow.Exif()
        exif[0x0112] = 6  # turned by 90 degrees
        assert decode(saved(Pillow.new("RGB", (8, 2)), "JPEG", exif=exif)).size == (2, 8)

    def test_broken_exif_does_not_cost_the_pixels(self):
        assert decode(saved(Pillow.new("RGB", (8, 2)), "JPEG", exif=b"Exif\0\0garbage")).size == (8, 2)

    def test_first_frame_of_an_animation(self):
        frames = [Pillow.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
        data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert decode(data).getpixel((0, 0)) == (255, 0, 0)

    def test_sixteen_bit_greys_keep_their_shades(self):
        ramp = Pillow.fromarray(np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16))
        assert np.asarray(decode(saved(ramp)))[..., 0].std() > 60

    @pytest.mark.parametrize(
        "data", [b"", b"no picture", CHART[:2000], b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n"]
    )
    def test_broken_bytes_give_one_sentence(self, data):
        with pytest.raises(UnreadableFileError) as caught:
            decode(data)
        assert str(caught.value).count("\n") == 0 and " at 0x" not in str(caught.value)

    def test_a_format_off_the_list_is_refused_although_pillow_reads_it(self):
        with pytest.raises(UnreadableFileError, match="known format; use one of PNG, JPEG"):
            decode(saved(Pillow.new("RGB", (4, 4)), "PPM"))

    @pytest.mark.parametrize("side", [math.isqrt(MAX_PIXELS) + 1, 60_000])
    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_a_bomb_is_refused_before_it_is_unpacked(self, side):
        header = bytearray(saved(Pillow.new("1", (1, 1)), "BMP"))
        header[18:26] = side.to_bytes(4, "little") * 2
        with pytest.raises(UnreadableFileError, match="scale it down"):
            decode(bytes(header))

    @pytest.mark.filterwarnings("ignore::UserWarning:PIL")
    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_damaged_bytes_decode_or_say_so(self, data):
        broken = bytearray(SMALL[data.draw(st.sampled_from(sorted(SMALL)))])
        for _ in range(data.draw(st.integers(1, 5))):
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(UnreadableFileError):
            assert decode(bytes(broken)).mode == "RGB"


SMALL = {
    format: saved(decode(CHART).resize((24, 18)), format) for format in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
}


class TestWords:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("data/salesQ4_2023-a3f5b2c9d1.png", "sales Q4 2023"),
            ("HTTPServerLatencyP99.jpeg", "HTTP Server Latency P99"),
            ("may2023.webp", "may 2023"),
            ("C:\\pictures\\Wärmeplan größe.svg.png", "Wärmeplan größe"),
            ("Eiffel_Tower%2C_Paris.JPG", "Eiffel Tower Paris"),
            ("CO2_emissions.v2.png", "CO2 emissions v2"),
            ("销售2023图表.png", "销售 2023 图表"),
            ("chart2023q4v2final.png", "chart 2023 q4 v2 final"),
            ("550e8400-e29b-41d4-a716-446655440000_bar.png", "bar"),
            ("d41d8cd98f00b204e9800998ecf8427e.png", ""),
            ("x9Kq2LmP0aZ7bT5vQ1.png", ""),
            ("1623456789.png", ""),
            ("decade_facade.png", "decade facade"),
            ("", ""),
        ],
    )
    def test_of_a_file_name(self, path, expected):
        assert " ".join(file_words(path)) == expected

    def test_title_caption_alt_and_what_the_file_name_adds(self):
        image = Image(id="1", title="Sales", path="x/sales_Norway.png", caption="By year", alt="Bar chart")
        assert words(image) == "Sales\nBy year\nBar chart\nNorway"
        assert words(Image(id="1", data=b"")) == ""

    @given(st.text())
    def test_any_name_gives_words_without_separators(self, name):
        assert all(word and not set(word) & set("_ /\\.-") for word in file_words(name))


@pytest.fixture(scope="module")
def charts() -> list[bytes]:
    return draw_charts(60, seed=1)


class TestVisualFeatures:
    def test_charts_are_drawn_the_same_each_time(self):
        assert draw_charts(4, seed=3) == draw_charts(4, seed=3)
        assert len(set(draw_charts(len(KINDS), seed=3))) == len(KINDS)

    def test_unit_rows_of_the_declared_dimension_whatever_the_company(self, charts):
        visual = VisualFeatures()
        rows = visual.embed_images(charts[:5])
        assert rows.shape == (5, visual.dimension) and rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        assert np.array_equal(rows[3:4], visual.embed_images([charts[3]]))
        assert visual.embed_images([]).shape == (0, visual.dimension)

    def test_is_an_image_embedder_that_holds_no_text(self):
        visual = VisualFeatures()
        assert isinstance(visual, ImageEmbedder) and visual.embed_texts(["a bar chart"]) is None

    @pytest.mark.parametrize("colour", ["black", "white", "red"])
    @pytest.mark.parametrize("size", [(1, 1), (3000, 1), (64, 64)])
    def test_a_picture_of_one_colour_has_unit_length_and_is_near_its_like(self, colour, size):
        rows = VisualFeatures().embed_images([saved(Pillow.new("RGB", s, colour)) for s in (size, (40, 30))])
        np.testing.assert_allclose(rows @ rows.T, 1, atol=1e-4)

    def test_colour_counts(self):
        red, red_too, green = VisualFeatures().embed_images(
            [
                render_chart("bar", values, title="T", colour=colour)
                for values, colour in (([3, 1, 2], "red"), ([3, 1.2, 2], "red"), ([3, 1, 2], "green"))
            ]
        )
        assert red @ red_too > red @ green

    @pytest.mark.parametrize("alteration", sorted(alterations(0)))
    def test_finds_the_original_of_an_altered_chart(self, charts, alteration):
        embed = VisualFeatures().embed_images
        found = nearest_is_own(embed([alterations(1)[alteration](chart) for chart in charts]), embed(charts))
        assert found.mean() >= 0.95, f"not found: {np.flatnonzero(~found)}"


def nearest_is_own(altered: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """For each altered chart: is its own original the nearest? Boolean, shape (len(originals),)."""
    return (altered @ originals.T).argmax(axis=1) == np.arange(len(originals))


def _measure(seeds: range) -> Iterator[str]:
    """A line for each alteration: share found and its 95 % Wilson interval, by our feature and by two simple ones."""
    methods = {"VisualFeatures": VisualFeatures().embed_images, "pHash": _phash, "thumbnail": _thumbnails}
    sets = {seed: draw_charts(60, seed=seed) for seed in seeds}
    originals = {name: {seed: embed(sets[seed]) for seed in seeds} for name, embed in methods.items()}
    yield " " * 20 + "".join(f"{name:>22}" for name in methods)
    for harsh in (False, True):
        for alteration in alterations(0):
            altered = {s: [alterations(s, harsh=harsh)[alteration](chart) for chart in sets[s]] for s in seeds}
            line = f"{'harsh ' * harsh}{alteration}".ljust(20)
            for name, embed in methods.items():
                found = np.concatenate([nearest_is_own(embed(altered[s]), originals[name][s]) for s in seeds])
                low, high = _wilson(found.mean(), len(found))
                line += f"{found.mean():.3f} [{low:.2f}, {high:.2f}]".rjust(22)
            yield line


def _thumbnails(images: list[bytes]) -> np.ndarray:
    greys = [np.asarray(decode(i).convert("L").resize((20, 20), Pillow.Resampling.BOX), float) for i in images]
    rows = np.stack([(grey - grey.mean()).ravel() for grey in greys])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _phash(images: list[bytes]) -> np.ndarray:
    return np.sign(VisualFeatures().embed_images(images)[:, -63:]) / math.sqrt(63)


def _wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


if __name__ == "__main__":
    sys.stdout.writelines(line + "\n" for line in _measure(range(1, 6)))
