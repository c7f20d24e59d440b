"""Your folder in ten lines: a knowledge base for each kind of file that is in it, and a router over them.

python examples/your_folder.py FOLDER "What do you want to know?"
python examples/your_folder.py                  # of the files of examples/knowledge

Texts, tables and pictures are told apart by their files: md, txt, html, pdf, docx; csv, tsv, xlsx, parquet; png, jpg,
webp. Here the knowledge bases go when the program ends; Catalog("my-knowledge") keeps them, and a second run reads what
has changed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from kb_tools import Catalog, KBError
from kb_tools.loaders import find_files, infer_modality, load
from router_graph import create_router


def ask(folder: Path, question: str) -> None:
    """The ten lines."""
    with tempfile.TemporaryDirectory() as keep, Catalog(keep) as catalog:
        names: dict[str, list[str]] = {}
        for file in filter(lambda one: one.to_read, find_files([folder])):
            names.setdefault(infer_modality([file]), []).append(file.path.stem)
        bases = [catalog.create(kind, description=", ".join(some[:20]), modality=kind) for kind, some in names.items()]
        for kb in bases:
            print(f"{kb.name}: {load(kb, folder).added} documents from {len(names[kb.name])} files")
        done = create_router(bases).invoke({"question": question})
        found_in = [f"  {one['kb']}: {one['title']}" for one in done["citations"]]
        print(f"\n{question}\n{done['answer']}", *found_in, sep="\n")


if __name__ == "__main__":
    given = sys.argv[1:] or [str(Path(__file__).parent / "knowledge"), "Who discovered the moon Titan?"]
    if len(given) != 2:
        sys.exit("Give a folder and a question: " + __doc__.splitlines()[2])
    try:
        ask(Path(given[0]), given[1])
    except KBError as error:
        sys.exit(str(error))
