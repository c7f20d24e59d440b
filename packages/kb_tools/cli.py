"""`polyroute kb`: knowledge bases from the command line. Results go to stdout, everything else to stderr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kb_tools.cli_add import (
    DEFAULT_FOLDER,
    FOLDER_VARIABLE,
    announce_embedding,
    brought_up_to,
    counted,
    describe_files,
    describe_what_went_in,
    find,
    print_next,
    print_report,
    remove_if_empty,
)
from kb_tools.cli_command import PlainCommand, PlainGroup, parse_where, price
from kb_tools.documents import Modality
from kb_tools.errors import KBError, KBInputError, UnreadableFileError
from kb_tools.hits import Mode

if TYPE_CHECKING:
    from kb_tools.catalog import Catalog

USER_ERRORS = (KBError, OSError)
"""What a command may raise because of what it was given: shown as one sentence, never as a traceback."""

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
"""What every command of `polyroute` answers to with its help."""

app = typer.Typer(
    cls=PlainGroup,
    name="kb",
    help="Build, search and look after knowledge bases.",
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the knowledge base.", show_default=False)]
Folder = Annotated[
    str,
    typer.Option(
        "--folder",
        "-C",
        envvar=FOLDER_VARIABLE,
        metavar="LOCATION",
        help="The folder of knowledge bases, or http://host:port of a Chroma server.",
    ),
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command(cls=PlainCommand)
def add(
    name: Name,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files and folders to read.", show_default=False)],
    modality: Annotated[
        Modality | None, typer.Option(help="What it holds; told by the files if left out.", show_default=False)
    ] = None,
    description: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="A paragraph: what is in it, and what to ask it.", show_default=False),
    ] = None,
    cost: Annotated[
        float | None,
        typer.Option(metavar="USD", help="What a search costs; 0 if left out.", callback=price, show_default=False),
    ] = None,
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJSON = False,
) -> None:
    """Read files into a knowledge base; make it if it is new.

    polyroute kb add articles examples/knowledge/articles --description "Planets, moons and their spacecraft."

    polyroute kb add tables examples/knowledge/tables

    Run again, it adds what changed and removes what is gone. Exit code 1 if a file could not be read; the rest is in.
    """
    from kb_tools import loaders, terminal
    from kb_tools.catalog import Catalog

    files = find(paths, folder, name)
    with Catalog(folder) as catalog:
        new = name not in catalog.names()
        if new:
            kb = catalog.create(
                name,
                description=description or describe_files(files),
                modality=modality or loaders.infer_modality(files),
                cost_usd=cost or 0.0,
            )
        else:
            kb = brought_up_to(catalog.open(name), modality=modality, description=description, cost_usd=cost)
        try:
            announce_embedding()
            with loaders.progress_bar() as on_progress:
                report = loaders.load(kb, paths, on_progress=on_progress)
            size = kb.count()
            if new and description is None:
                describe_what_went_in(kb, files)
        except KeyboardInterrupt:
            complain("Interrupted; what was added is kept.")
            raise typer.Exit(130) from None
        finally:
            if new:
                remove_if_empty(catalog, kb)
    print_report(name, report, size, as_json=as_json)
    if not report.added + report.updated + report.unchanged:
        left = "was not made" if new else f"holds {counted(size, 'document')}"
        raise KBInputError(f"Nothing of it could be taken in; {name!r} {left}.")
    if new and description is None:
        terminal.note(
            "Its description was made from the file names. A paragraph of yours (--description) helps "
            "whoever must choose where to ask."
        )
    print_next(name, files, report, folder)
    if report.unreadable:
        raise typer.Exit(1)


@app.command("list", cls=PlainCommand)
def list_(folder: Folder = DEFAULT_FOLDER, as_json: AsJSON = False) -> None:
    """List the knowledge bases.

    polyroute kb list
    """
    from kb_tools import terminal
    from kb_tools.catalog import Catalog

    about, broken = [], []
    with Catalog(folder) as catalog:
        for name in catalog.names():
            try:
                about.append(catalog.open(name).describe())
            except KBError as error:  # one that cannot be opened hides no other
                broken.append(str(error))
        where = catalog.location
    if as_json:
        terminal.print_json(about)
    elif about:
        terminal.print_list(about)
    for problem in broken:
        terminal.note(problem)
    if broken:
        raise typer.Exit(1)
    if not about:
        terminal.note(f"No knowledge bases in {where} yet. Make one: polyroute kb add NAME PATH")


@app.command(cls=PlainCommand)
def show(name: Name, folder: Folder = DEFAULT_FOLDER, as_json: AsJSON = False) -> None:
    """Show what a knowledge base is: description, size, price, embedding.

    polyroute kb show articles
    """
    from kb_tools import terminal
    from kb_tools.catalog import Catalog

    with Catalog(folder) as catalog:
        about = catalog.open(name).describe().model_dump()
    (terminal.print_json if as_json else terminal.print_fields)(about)


@app.command(cls=PlainCommand)
def search(
    name: Name,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to find.", show_default=False)] = "",
    k: Annotated[
        int | None, typer.Option("-k", metavar="N", help="How many results; 5 if left out.", show_default=False)
    ] = None,
    mode: Annotated[Mode, typer.Option(help="By words and meaning, meaning alone, words alone.")] = "hybrid",
    image: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Find pictures that look like this one.", show_default=False)
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help='A filter on metadata, as in \'{"year": {"$gte": 2020}}\'.', show_default=False
        ),
    ] = None,
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJSON = False,
) -> None:
    """Search a knowledge base, by words, by an image, or by both.

    polyroute kb search articles "an ocean under the ice" -k 3

    polyroute kb search articles "storms" --where '{"file": "jupiter.md"}'
    """
    from kb_tools import terminal
    from kb_tools.catalog import Catalog

    condition = parse_where(where)
    with Catalog(folder) as catalog:
        kb = catalog.open(name)
        if image is None and not query.strip():
            more = ", or pass --image PATH" if kb.modality == "image" else ""
            raise KBInputError(f"The query is empty; ask for something{more}.")
        if query.strip() and mode != "lexical":
            announce_embedding()
        try:
            hits = kb.search(query, k, where=condition, mode=mode, image=image)
        except UnreadableFileError as error:  # of stored documents none is read in a search: it is that picture
            raise KBInputError(f"{image}: {error}") from error
    if as_json:
        terminal.print_json(hits)
    elif hits:
        terminal.print_hits(hits)
    if not hits:
        terminal.note(f"Nothing was found in {name}.")


@app.command(cls=PlainCommand)
def sql(
    name: Name,
    statement: Annotated[
        str, typer.Argument(metavar="STATEMENT", help="One read-only SQL statement.", show_default=False)
    ],
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJSON = False,
) -> None:
    """Ask a knowledge base of tables in SQL; SELECT name, title FROM _tables lists them.

    polyroute kb sql tables "SELECT planet, count(*) FROM moons GROUP BY planet"
    """
    from kb_tools import terminal
    from kb_tools.catalog import Catalog

    with Catalog(folder) as catalog:
        result = catalog.open(name).sql(statement)
    if as_json:
        terminal.print_json(result)
    else:
        terminal.print_rows(result.columns, result.rows)
    if result.truncated:
        terminal.note(f"Only the first {len(result.rows)} rows are here; aggregate, or add a LIMIT.")


@app.command(cls=PlainCommand)
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJSON = False,
) -> None:
    """Remove a knowledge base and all that it holds.

    polyroute kb remove articles --yes
    """
    from kb_tools import terminal
    from kb_tools.catalog import Catalog

    with Catalog(folder) as catalog:
        if name in catalog.names() and not yes:
            _confirm(f"Remove {name} and all that it holds from {catalog.location}?")
        catalog.remove(name)
    if as_json:
        terminal.print_json({"removed": name})
    else:
        terminal.console().print(f"Removed {name}.", soft_wrap=True)


@app.command(cls=PlainCommand)
def check(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Which one; all if left out.", show_default=False)
    ] = None,
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJSON = False,
) -> None:
    """Check that knowledge bases are whole. Exit code 1 if something is wrong.

    polyroute kb check
    """
    from kb_tools import terminal
    from kb_tools.catalog import Catalog

    with Catalog(folder) as catalog:
        names = catalog.names() if name is None else [name]
        problems = {one: _problems(catalog, one, named=name is not None) for one in names}
    if as_json:
        terminal.print_json(problems)
    else:
        for one, found in problems.items():
            lines = [f"{one}: healthy"] if not found else [f"{one}: {counted(len(found), 'problem')}", *found]
            terminal.console().print("\n  ".join(map(terminal.one_line, lines)), soft_wrap=True)
    if any(problems.values()):
        raise typer.Exit(1)


def as_sentence(error: BaseException) -> str:
    """One of `USER_ERRORS` in words."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}." if error.filename else f"{error.strerror}."
    return str(error)


def complain(text: str) -> None:
    """One line on stderr that cannot steer the terminal."""
    from kb_tools.terminal import plain

    typer.echo(plain(" ".join(text.split())), err=True)


def _problems(catalog: Catalog, name: str, *, named: bool) -> list[str]:
    try:
        return catalog.open(name).check()
    except KBError as error:
        if named:
            raise
        return [str(error)]


def _confirm(question: str) -> None:
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        typer.echo(err=True)  # the question has left its line open
        raise KBInputError("Nothing was removed; where nobody can be asked, pass --yes.") from None
    if not agreed:
        raise KBInputError("Nothing was removed.")
