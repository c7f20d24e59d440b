"""Knowledge bases from ordinary files, and one question that walks from a table to a passage.

python examples/demo.py [FOLDER]    # the knowledge bases go to FOLDER; without one, to .demo/kb
"""

from __future__ import annotations

import io
import re
import shlex
import sys
import time
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from kb_tools import Catalog, Hit, KBError, KnowledgeBase
from kb_tools.documents import Modality
from kb_tools.embeddings.minilm import exported, model_folder
from kb_tools.loaders import load, progress_bar

ROOT = Path(__file__).resolve().parents[1]
KNOWLEDGE = ROOT / "examples" / "knowledge"
FOLDERS: list[tuple[str, str, Modality, str]] = [
    ("articles", "articles", "text", "Planets, moons and the spacecraft that went there: who did what first."),
    ("tables", "tables", "table", "Figures to compare and count: planets, moons, a selection of missions."),
    ("pictures", "images", "image", "Charts about the planets and their exploration, with captions."),
]
QUESTION = "Which spacecraft first orbited the planet with the lowest density, and what did it find?"
"""No single document answers it: the densities are in a table, and what was found is in an article."""

console = Console(highlight=False)


def main(folder: Path) -> None:
    """Build, walk, look, and say what to do next."""
    prepare_embedding()
    with Catalog(folder) as catalog:
        articles, tables, pictures = (build(catalog, *given) for given in FOLDERS)
        walk(articles, tables)
        look(pictures)
    print_next(folder)


def prepare_embedding() -> None:
    """Make the text embedding's file where it is not there yet; its weights came with a package."""
    started = time.perf_counter()
    with console.status("Exporting the MiniLM embedding to ONNX: 10 to 15 seconds, on the first run only"):
        exported(model_folder())
    if (took := time.perf_counter() - started) > 1:
        console.print(
            f"Exported the MiniLM embedding to ONNX in {took:.0f} s; the next run finds it there.", style="dim"
        )


def build(catalog: Catalog, name: str, files: str, modality: Modality, description: str) -> KnowledgeBase:
    """Make the knowledge base, or open it, and bring it up to date with its files."""
    started = time.perf_counter()
    kb = catalog.create(name, description=description, modality=modality, exist_ok=True)
    with progress_bar() as on_progress:
        report = load(kb, [KNOWLEDGE / files], on_progress=on_progress)
    took = time.perf_counter() - started
    verbs = ("added", "updated", "unchanged", "removed")
    done = ", ".join(f"{count} {verb}" for verb in verbs if (count := getattr(report, verb)))
    about = kb.describe()
    size = f"{about.documents} documents, {about.units} units to search"
    body = Text.assemble(
        f"{about.description}\n", (f"{size}; {done} from {near(KNOWLEDGE / files)} in {took:.1f} s", "dim")
    )
    console.print(Panel(body, title=Text.assemble((name, "bold"), f" ({modality})"), title_align="left"))
    return kb


def walk(articles: KnowledgeBase, tables: KnowledgeBase) -> None:
    """Answer the question in three steps, each of which asks with what the one before has found."""
    console.print(Rule("A question that takes steps"), Text(QUESTION, "bold"), sep="\n")
    at_once = ", ".join(hit.title for hit in articles.search(QUESTION, k=3))
    console.print(f"Asked of the articles as it stands, it finds: {at_once}. One step at a time:")

    step(1, tables, "density of each planet")

    statement = "SELECT planet, density_kg_m3 FROM planets ORDER BY density_kg_m3 LIMIT 3"
    result = tables.sql(statement)
    planet = result.rows[0][0]
    headline(2, tables, f"SQL: {statement}")
    rows = Table(*result.columns, box=None, padding=(0, 3, 0, 0))
    for row in result.rows:
        rows.add_row(*map(str, row), style="bold green" if row[0] == planet else "")
    console.print(Padding(rows, (0, 0, 0, 3)))

    query = f"first spacecraft to orbit {planet}, and what it found"
    hit = step(3, articles, query)
    console.print(Panel(marked(hit.text, query), title=hit.title, title_align="left"))
    console.print(
        "Marked is, for each half of the query, the sentence that shares most words with it. No model is asked here: "
        "the steps are written down in examples/demo.py. The routing policy that chooses them comes next.",
        style="dim",
    )


def look(pictures: KnowledgeBase) -> None:
    """Find a picture by words, then by a small grey copy of itself, with no words at all."""
    console.print(Rule("A picture, found twice"))
    hit = step(1, pictures, "which planet would float on water?")
    copy = io.BytesIO()
    with Image.open(hit.metadata["path"]) as original:
        original.convert("L").resize((original.width // 2, original.height // 2)).save(copy, "PNG")
    step(2, pictures, image=copy.getvalue())


def step(number: int, kb: KnowledgeBase, query: str = "", *, image: bytes | None = None) -> Hit:
    """One search, told: the query, what came first, which searches found it at which rank, and where it is from."""
    hit = kb.search(query, k=1, image=image)[0]
    headline(number, kb, f"search: {query}" if query else "search: a grey copy of that picture, half as wide and high")
    ranks = ", ".join(f"{source} #{rank}" for source, rank in hit.found.items())
    console.print(Text.assemble("   ", (hit.title, "bold green"), f"  found by {ranks}"))
    console.print(Text(f"   {near(hit.metadata['source'])}", "dim"))
    return hit


def headline(number: int, kb: KnowledgeBase, what: str) -> None:
    """The first line of a step."""
    console.print(Text.assemble((f"{number}. ", "bold cyan"), (kb.name, "bold"), f"  {what}"))


def marked(text: str, query: str) -> Table:
    """The text, a sentence a line; marked is, for each half of the query, the one that shares most of its words."""
    _heading, _, body = text.partition("\n")
    sentences = re.split(r"(?<=[.!?])\s+", body.strip())

    def best(wanted: str) -> str:
        words = set(re.findall(r"\w{4,}", wanted.lower()))
        return max(sentences, key=lambda sentence: len(words.intersection(re.findall(r"\w+", sentence.lower()))))

    chosen = {best(half) for half in query.split(", and ")}
    grid = Table.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        is_best = sentence in chosen
        grid.add_row(">" if is_best else "", " ".join(sentence.split()), style="bold green" if is_best else "")
    return grid


def print_next(folder: Path) -> None:
    """Commands to paste."""
    polyroute = shlex.quote(near(Path(sys.executable).with_name("polyroute")))
    where = f"--folder {shlex.quote(near(folder))}"
    console.print(Rule("Paste next"))
    for line in (
        f'{polyroute} kb search {where} articles "an ocean under the ice"',
        f'{polyroute} kb sql {where} tables "SELECT kind, COUNT(*) FROM missions GROUP BY 1"',
        f"{polyroute} kb add {where} mine PATH/TO/YOUR/FILES",
    ):
        console.print(line, style="green", soft_wrap=True)


def near(path: str | Path) -> str:
    """A path as it can be typed here: relative where it lies below the working directory."""
    path = Path(path).absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    given = sys.argv[1:]
    if len(given) > 1 or any(argument.startswith("-") for argument in given):
        asked_for = given in (["-h"], ["--help"])
        print(__doc__.strip(), file=sys.stdout if asked_for else sys.stderr)
        sys.exit(0 if asked_for else 2)
    try:
        main(Path(given[0]) if given else ROOT / ".demo" / "kb")
    except KBError as error:
        sys.exit(str(error))
