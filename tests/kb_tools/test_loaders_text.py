"""txt, md, html, docx and pdf as passages."""

from __future__ import annotations

from pathlib import Path

import pytest

from kb_tools.documents import Passage
from kb_tools.errors import KBInputError, UnreadableFileError
from kb_tools.loaders import read_file

ODD = "</information> {{x}} \u202eright to left\u202c null:\0: 東京 🙂\r\nlast"


def read(path: Path, data: bytes | str | None = None) -> list[Passage]:
    if data is not None:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    documents = list(read_file(path, path.as_posix(), "text"))
    assert all(isinstance(document, Passage) for document in documents)
    return documents  # type: ignore[return-value]


def refused(path: Path, data: bytes | str | None = None) -> str:
    with pytest.raises(UnreadableFileError) as caught:
        read(path, data)
    message = str(caught.value)
    assert str(path) in message and message.endswith(".") and "\n" not in message
    return message


def pdf(path: Path, *pages: str, title: str | None = None, password: str | None = None) -> Path:
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    font = DictionaryObject(
        {
            NameObject(k): NameObject(v)
            for k, v in {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}.items()
        }
    )
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F"): font})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F 12 Tf 20 200 Td ({text}) Tj ET".encode() if text else b"")
        page[NameObject("/Contents")] = writer._add_object(stream)
    if title:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(user_password=password, owner_password="owner")
    writer.write(path)
    return path


@pytest.mark.parametrize("suffix", [".txt", ".md"])
def test_text_comes_out_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    text = ODD + "y" * 1_000_000
    (passage,) = read(tmp_path / f"a{suffix}", text)
    assert passage.text == text and passage.id == f"a{suffix}" and passage.title == "a"
    assert passage.metadata == {"source": (tmp_path / f"a{suffix}").as_posix(), "file": f"a{suffix}"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_believed(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path / "a.txt", "Größe 東京".encode(encoding))[0].text == "Größe 東京"


@pytest.mark.parametrize("suffix", ["txt", "md"])
def test_another_encoding_is_taken_for_cp1252_and_noted(tmp_path: Path, suffix: str) -> None:
    (passage,) = read(tmp_path / f"a.{suffix}", "erste\nGröße – 5 €".encode("cp1252"))
    assert (passage.text, passage.metadata["encoding"]) == ("erste\nGröße – 5 €", "cp1252")


@pytest.mark.parametrize("binary", [bytes(range(256)), b"\x89PNG\r\n\x1a\n\xff", b"ELF\x7f\xff", b"gr\xf6\n\x81"])
def test_binary_is_refused_with_the_line_and_not_guessed(tmp_path: Path, binary: bytes) -> None:
    message = refused(tmp_path / "a.txt", binary)
    assert "in line" in message and "UTF-8" in message
    assert "binary" in refused(tmp_path / "b.txt", "plain words".encode("utf-16-le"))


@pytest.mark.parametrize("suffix", ["txt", "md", "html", "pdf", "docx"])
def test_a_file_of_zero_bytes_is_reported(tmp_path: Path, suffix: str) -> None:
    assert "0 bytes" in refused(tmp_path / f"a.{suffix}", b"")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("---\ntitle: 'From: matter'\ntags: [a]\n---\n# Heading\n", "From: matter"),
        ("---\nauthor: me\n---\nintro\n\n## Second level ##\n", "Second level"),
        ("---\n: [broken\n---\n# After it\n", "After it"),
        ("```bash\n# a comment\n```\n~~~\n# another\n~~~\n# Real\n", "Real"),
        ("Underlined\n==========\ntext", "Underlined"),
        ("#hashtag\nno heading here", "a"),
        ("one\n\n---\n\ntwo", "a"),
    ],
)
def test_markdown_is_titled_by_front_matter_then_heading_then_name(tmp_path: Path, text: str, title: str) -> None:
    (passage,) = read(tmp_path / "a.md", text)
    assert (passage.title, passage.text) == (title, text)


def test_html_gives_what_a_reader_sees(tmp_path: Path) -> None:
    page = """<html><head><title> The
        page </title><style>p{}</style></head><body><nav>Home</nav><script>alert(1)</script>
        <h1>Head</h1><p>Tom &amp; &lt;b&gt; <b>bo</b>ld<br>next</p><!-- no -->
        <table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>
        <template>t</template></body></html>"""
    (passage,) = read(tmp_path / "a.html", page)
    assert passage.title == "The page"
    assert passage.text.split("\n") == ["Head", "Tom & <b> bold", "next", "1 2", "3"]


def test_html_is_decoded_as_it_declares_and_else_must_be_utf8(tmp_path: Path) -> None:
    declared = '<meta charset="iso-8859-1"><p>Größe</p>'.encode("latin-1")
    assert read(tmp_path / "a.htm", declared)[0].text == "Größe"
    assert read(tmp_path / "b.htm", "<p>Größe 東京</p>")[0].text == "Größe 東京"
    assert "UTF-8" in refused(tmp_path / "c.htm", "<p>Größe</p>".encode("latin-1"))


def test_docx_keeps_paragraphs_and_tables_in_order(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    document.add_heading("Report", level=0)
    document.add_paragraph("Before.")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip([c for row in table.rows for c in row.cells], ["a", "b", "1", "x|y"], strict=True):
        cell.text = text
    document.add_paragraph("After.")
    document.save(str(tmp_path / "a.docx"))
    (passage,) = read(tmp_path / "a.docx")
    assert passage.title == "Report"
    assert passage.text == "Report\n\nBefore.\n\n| a | b |\n| --- | --- |\n| 1 | x\\|y |\n\nAfter."


def test_a_damaged_docx_an_old_one_and_a_bomb_are_told_apart(tmp_path: Path) -> None:
    import zipfile

    assert "no docx" in refused(tmp_path / "a.docx", b"hello")
    assert "password" in refused(tmp_path / "b.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with zipfile.ZipFile(tmp_path / "c.docx", "w") as archive:
        archive.writestr("other.xml", "<a/>")
    assert "damaged" in refused(tmp_path / "c.docx")
    with zipfile.ZipFile(tmp_path / "d.docx", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x", "w") as part:
        for _ in range(300):
            part.write(bytes(2**20))
    assert "unpack" in refused(tmp_path / "d.docx")


def test_pdf_gives_a_passage_a_page(tmp_path: Path) -> None:
    passages = read(pdf(tmp_path / "a.pdf", "First page", "", "Third page", title="Handbook"))
    assert [(p.id, p.title, p.text.strip(), p.metadata["page"]) for p in passages] == [
        ("a.pdf#page=1", "Handbook", "First page", 1),
        ("a.pdf#page=2", "Handbook", "", 2),
        ("a.pdf#page=3", "Handbook", "Third page", 3),
    ]
    assert read(pdf(tmp_path / "b.pdf", "x"))[0].title == "b"


def test_a_scan_is_reported_as_one(tmp_path: Path) -> None:
    assert "text layer" in refused(pdf(tmp_path / "a.pdf", "", ""))


def test_an_encrypted_pdf_is_refused_unless_everyone_may_read_it(tmp_path: Path) -> None:
    assert "encrypted" in refused(pdf(tmp_path / "a.pdf", "secret", password="pw"))
    assert read(pdf(tmp_path / "b.pdf", "open", password=""))[0].text.strip() == "open"


@pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7\n" + b"\xff" * 200])
def test_a_corrupt_pdf_is_one_sentence(tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert "damaged" in refused(tmp_path / "a.pdf", data)
    assert not caplog.records  # pypdf has nothing to say beside it


def test_a_truncated_pdf_is_read_or_refused_but_never_breaks(tmp_path: Path) -> None:
    whole = pdf(tmp_path / "a.pdf", "First page", "Second page").read_bytes()
    for cut in range(0, len(whole), 97):
        try:
            read(tmp_path / "b.pdf", whole[:cut])
        except UnreadableFileError:
            continue


def test_one_damaged_page_costs_only_itself(tmp_path: Path) -> None:
    data = pdf(tmp_path / "a.pdf", "First page", "Second page", "Third page").read_bytes()
    (tmp_path / "a.pdf").write_bytes(data.replace(b"(Second page) Tj", b"<<Second page) T"))
    got = []
    try:
        for passage in read_file(tmp_path / "a.pdf", "s", "text"):
            assert isinstance(passage, Passage)
            got.append(passage.text.strip())
    except UnreadableFileError as error:
        assert "page 2" in str(error)
    assert got[0] == "First page" and got[-1] == "Third page"


def test_a_suffix_that_is_not_read_or_of_another_modality_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(KBInputError, match=r"\.xyz.*readable are"):
        read_file(tmp_path / "a.xyz", "s", "text")
    with pytest.raises(KBInputError, match=r"holds a table; .*modality table, not text"):
        read_file(tmp_path / "a.csv", "s", "text")
    with pytest.raises(KBInputError, match="text or table"):
        read_file(tmp_path / "a.jsonl", "s", "image")


def test_a_file_that_is_gone_or_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()
    assert "directory" in refused(tmp_path / "folder.txt").lower()
    assert "No such file" in refused(tmp_path / "gone.txt")
