"""The rules of the house that a machine can hold: who may import what, one door per library, sizes, words.

The tables stand on top; to change a rule is to change its table. Each test lists every offence as `file:line: what`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeGuard

import pytest

from mail2sms.cli import console

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "mail2sms"

# The first parts of modules' names, level by level. A module imports from lower levels and from its own folder.
ORDER = (
    ("", "log"),  # may be imported by all
    (
        "addresses",
        "alarm",
        "destinations",
        "endpoint",
        "heard",
        "ids",
        "media",
        "model",
        "errors",
        "money",
        "reasons",
        "options",
    ),  # values
    (
        *(
            "numbers",
            "segments",
            "routing",
            "prices",
            "rates",
            "lifecycle",
            "breaker",
            "keywords",
            "quiet",
            "rules",
            "verdict",
        ),
        *("acknowledge", "consent", "repeats", "storms", "wording"),
    ),  # decisions
    (
        "http",
        "clock",
        "lane",
        "sockets",
        "workers",
    ),  # above the decisions, which get time and chance as arguments
    ("carriers", "dns", "hooks", "pictures", "reencode", "store", "mailer", "render"),  # tools
    ("accept", "inbound"),  # doors
    ("intake", "dispatch", "fetch", "relay", "web"),  # stages
    # process
    (
        "config",
        "assembly",
        "certificates",
        "daemon",
        "doctor",
        "retention",
        "systemd",
        "watch",
        "places",
        "yamltext",
        "cli",
        "__main__",
    ),
)
LEVELS = {name: level for level, names in enumerate(ORDER) for name in names}
# Values, decisions and process modules may import one another; tools, doors and stages never.
OPEN_LEVELS = {LEVELS["model"], LEVELS["numbers"], LEVELS["cli"]}
# Here each module stands for itself: it imports only the folder's private (`_base`-like) modules.
SIBLINGS = {"carriers", "hooks", "rules"}

# Library -> the modules (with what is below them) that may import it. A library that is missing here has no door.
DOORS = {
    "PIL": ("reencode",),
    "aiohttp": ("http",),
    "aiosmtplib": ("mailer",),
    "aiosmtpd": ("intake.smtp_login",),
    "alembic": ("store",),
    "argon2": ("intake.identity",),
    "charset_normalizer": ("intake.charsets",),
    "cryptography": ("intake.dkim", "carriers._keys"),
    "dns": ("dns",),
    "fastapi": ("web",),
    "gammu": ("carriers._modem_worker",),  # in a process of its own
    "idna": ("addresses",),
    "inscriptis": ("intake.html",),
    "jinja2": ("render",),
    "lxml": ("intake.html",),  # the parser below inscriptis
    "phonenumbers": ("numbers",),
    "prometheus_client": ("web.metrics",),
    "psycopg": ("store",),
    "publicsuffixlist": ("intake.dmarc",),
    "pydantic": ("",),  # each module declares its own options
    "pydantic_core": ("config",),
    "rich": ("cli",),
    "segno": ("cli.qr",),
    "sqlalchemy": ("store",),
    "starlette": ("web",),
    "structlog": ("log",),
    "typer": ("cli",),
    "uvicorn": ("web",),
    "uvloop": ("cli",),
    "yaml": ("yamltext",),
}

MIGRATIONS = "store.migrations.versions."  # history, never edited: no ceiling
FILE_LINES, CARRIER_LINES, FUNCTION_LINES, NESTING = 400, 250, 50, 3

# The tops of the stages: (module, function) that may catch everything.
STAGE_TOPS = {
    ("intake.smtp", "_call"),
    ("intake.smtp", "_attend"),
    ("dispatch.attempts", "_failing"),
    ("dispatch.attempts", "at_once"),
    ("dispatch.attempts", "_send_part"),
    ("dispatch.balances", "_ask"),
    ("dispatch.inquiries", "_ask"),
    ("store.writer", "_write_together"),
    ("relay.loop", "_deliver"),
    ("fetch", "_tried"),
}

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
VAGUE_CLASS = re.compile(r"Manager|Helper|Utils?\Z|Common")
VAGUE_VERB = re.compile(r"_*(process|handle|manage|do)(_|\Z)")
# Names that a library calls: aiosmtpd's.
CALLED_BY_OTHERS = re.compile(r"handle_(exception|[A-Z]+)\Z")
TAKES_SQL = {"execute", "exec_driver_sql", "executescript"}  # and `text`, where it is SQLAlchemy's: in store/

NESTS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Module:
    """One source file; `name` is without the package: `intake.smtp`, and `` for the package itself."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def top(self) -> str:
        """The first part of its name, which has a level."""
        return self.name.partition(".")[0]

    def at(self, node: ast.AST, what: str) -> str:
        """One offence, as the tests print it."""
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}: {what}"


@cache
def modules() -> tuple[Module, ...]:
    """Every module; read when a test asks, since each worker imports this file."""
    found = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / PACKAGE).with_suffix("").parts).removesuffix("__init__")
        source = path.read_text(encoding="utf-8")
        found.append(Module(name.removesuffix("."), path, ast.parse(source), len(source.splitlines())))
    return tuple(found)


@cache
def _names() -> frozenset[str]:
    return frozenset(module.name for module in modules())


def imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Every import in a file, wherever it stands, as the full name of a module."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = f"{_package(module, node.level)}.{node.module or ''}".strip(".")
            for alias in node.names:
                longer = f"{base}.{alias.name}"
                yield node, longer if longer.removeprefix(f"{PACKAGE}.") in _names() else base


def _package(module: Module, level: int) -> str:
    if not level:
        return ""
    parts = [PACKAGE, *filter(None, module.name.split("."))]
    drop = level - (module.path.name == "__init__.py")
    return ".".join(parts[: len(parts) - drop])


def own_imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """The imports of our own modules, named without the package."""
    for node, name in imports(module):
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            yield node, name.removeprefix(PACKAGE).removeprefix(".")


def functions(module: Module) -> Iterator[Function]:
    """Every function and method, the nested ones too."""
    yield from (node for node in ast.walk(module.tree) if isinstance(node, FUNCTIONS))


def _is_call(node: ast.AST, names: set[str]) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in names


def check(offences: Iterator[str]) -> None:
    """Fail with all offences, one a line."""
    found = sorted(set(offences))
    assert not found, "\n" + "\n".join(found)


def _level_offences() -> Iterator[str]:
    for module in modules():
        if module.top not in LEVELS:
            yield module.at(module.tree, f"{module.name} has no level in the table")
            continue
        for node, target in own_imports(module):
            offence = _import_offence(module, target)
            if offence:
                yield module.at(node, offence)


def _import_offence(module: Module, target: str) -> str:
    top, _, rest = target.partition(".")
    if top not in LEVELS:
        return f"imports {target}, which has no level"
    if top == module.top:
        is_public = bool(rest) and not rest.startswith("_")
        return f"sibling {target}: only private modules of {top}/" if top in SIBLINGS and is_public else ""
    mine, theirs = LEVELS[module.top], LEVELS[top]
    if theirs < mine or (theirs == mine and mine in OPEN_LEVELS):
        return ""
    return f"{module.name} (level {mine}) imports {target} (level {theirs})"


def test_levels_of_imports() -> None:
    """values -> decisions -> http -> tools -> doors -> stages -> process; stages and tools never one another."""
    check(_level_offences())


def test_one_door_per_library() -> None:
    """Each third-party library is imported by its one door."""

    def offences() -> Iterator[str]:
        for module in modules():
            for node, name in imports(module):
                library = name.partition(".")[0]
                if library in sys.stdlib_module_names or library == PACKAGE:
                    continue
                doors = DOORS.get(library, ())
                if not any(door in {"", module.name} or module.name.startswith(f"{door}.") for door in doors):
                    yield module.at(node, f"{library} belongs to {' or '.join(doors) or 'nobody: no door'}")

    check(offences())


def test_ceilings_of_files_and_functions() -> None:
    """A file has at most 400 lines (a carrier 250), a function 50."""

    def offences() -> Iterator[str]:
        for module in modules():
            ceiling = CARRIER_LINES if module.top == "carriers" else FILE_LINES
            if module.lines > ceiling and not module.name.startswith(MIGRATIONS):
                yield module.at(module.tree, f"{module.lines} lines, at most {ceiling}")
            for function in functions(module):
                lines = (function.end_lineno or 0) - function.lineno + 1
                if lines > FUNCTION_LINES and not module.name.startswith(MIGRATIONS):
                    yield module.at(function, f"{function.name}: {lines} lines, at most {FUNCTION_LINES}")

    check(offences())


def depth(node: ast.AST, level: int = 0) -> int:
    """How deep statements nest below a node. `elif` goes on at the level of its `if`; nested functions start anew."""
    deepest = level
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            continue
        is_deeper = isinstance(child, NESTS) and not _is_elif(node, child)
        deepest = max(deepest, depth(child, level + is_deeper))
    return deepest


def _is_elif(parent: ast.AST, child: ast.AST) -> bool:
    return (
        isinstance(parent, ast.If)
        and isinstance(child, ast.If)
        and parent.orelse == [child]
        and parent.col_offset == child.col_offset
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1", 0),
        ("if a:\n x\nelif b:\n x\nelif c:\n x", 1),
        ("if a:\n x\nelse:\n if b:\n  x", 2),
        ("for a in b:\n with c:\n  try:\n   x\n  except E:\n   if d:\n    x", 4),
        ("while a:\n def f():\n  if b:\n   x", 1),
        ("match a:\n case 1:\n  [x for x in y if x]", 1),
    ],
)
def test_depth_counts_blocks(source: str, expected: int) -> None:
    """Chains count once, comprehensions and inner functions not at all."""
    assert depth(ast.parse(source)) == expected


def test_ceiling_of_nesting() -> None:
    """No function nests deeper than three blocks."""
    check(
        module.at(function, f"{function.name} nests {depth(function)} deep, at most {NESTING}")
        for module in modules()
        for function in functions(module)
        if depth(function) > NESTING
    )


def _undocumented(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield module.at(module.tree, "the module has no docstring")
    pending: list[tuple[ast.stmt, ast.ClassDef | None]] = [(node, None) for node in module.tree.body]
    while pending:
        node, owner = pending.pop()
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not _is_plain(node, owner):
            yield module.at(node, f"{node.name} has no docstring")
        if isinstance(node, ast.ClassDef):
            pending += [(inner, node) for inner in node.body]


def _is_plain(node: ast.stmt, owner: ast.ClassDef | None) -> bool:
    """What needs no sentence: overloads, setters, and short methods that fill in what a base class has described."""
    if isinstance(node, ast.ClassDef) or not isinstance(node, FUNCTIONS):
        return False
    decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    if decorators & {"overload", "setter", "override"}:
        return True
    bases = (
        {ast.unparse(base).rpartition(".")[2].partition("[")[0] for base in owner.bases} if owner else set()
    )
    return bool(bases - {"Protocol", "Generic", "ABC"}) and len(node.body) <= 3


def test_docstrings() -> None:
    """Every module and everything public has a docstring."""
    check(offence for module in modules() for offence in _undocumented(module))


def _catches_all(kind: ast.expr | None) -> bool:
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(name is None or ast.unparse(name) in {"Exception", "BaseException"} for name in names)


def _passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether it tidies up and raises the same again."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _catch_offences(module: Module) -> Iterator[str]:
    owners = {id(inner): function.name for function in functions(module) for inner in ast.walk(function)}
    for node in ast.walk(module.tree):
        owner = owners.get(id(node), "")
        if isinstance(node, ast.ExceptHandler):
            if _catches_all(node.type) and not _passes_on(node) and (module.name, owner) not in STAGE_TOPS:
                yield module.at(node, f"catches everything in {owner or 'the module'}")
        elif _is_call(node, {"suppress"}) and any(_catches_all(argument) for argument in node.args):
            yield module.at(node, "suppresses everything")


def test_only_stage_tops_catch_everything() -> None:
    """`except Exception` stands at the tops of the stages; elsewhere a handler names what it can answer."""
    check(offence for module in modules() for offence in _catch_offences(module))


def _name_offences(module: Module) -> Iterator[str]:
    if VAGUE_NAMES & set(re.split(r"[._]", module.name)):
        yield module.at(module.tree, f"{module.name} is no name for a module")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and VAGUE_CLASS.search(node.name):
            yield module.at(node, f"{node.name} is no name for a class")
        if not isinstance(node, FUNCTIONS) or CALLED_BY_OTHERS.match(node.name):
            continue
        if VAGUE_VERB.match(node.name) or node.name.strip("_") in VAGUE_NAMES:
            yield module.at(node, f"{node.name} is no name for a function")


def test_names_say_something() -> None:
    """No utils, helpers, common, Manager; no function that processes, handles, manages or does."""
    check(offence for module in modules() for offence in _name_offences(module))


def _is_glued(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(value, ast.FormattedValue) for value in node.values)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Mod | ast.Add)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('f"SELECT {x}"', True),
        ('f"SELECT 1"', False),
        ('"SELECT %s" % x', True),
        ('"SELECT " + x', True),
        ('"SELECT {}".format(x)', True),
        ('"SELECT 1"', False),
        ("statement", False),
    ],
)
def test_glued_sql_is_seen(source: str, expected: bool) -> None:
    """What puts a value into the text of a statement."""
    assert _is_glued(ast.parse(source, mode="eval").body) == expected


def test_sql_is_never_glued_together() -> None:
    """Statements get their values as parameters."""
    check(
        module.at(node, "SQL put together from strings")
        for module in modules()
        for node in ast.walk(module.tree)
        if _is_call(node, TAKES_SQL | ({"text"} if module.top == "store" else set()))
        and any(_is_glued(argument) for argument in node.args[:1])
    )


def _commands(module: Module) -> Iterator[str]:
    """What is typed, in texts that are printed: docstrings are none."""
    words = "|".join(dict.fromkeys(name.split()[0] for _, name, _ in console._TABLE))
    command = re.compile(rf"\bmail2sms ({words})\b")
    bodies = (
        node.body
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS))
    )
    silent = {id(statement.value) for body in bodies for statement in body if isinstance(statement, ast.Expr)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield from (
                module.at(node, f"{found[0]}: say it by `typed`") for found in command.finditer(node.value)
            )


def test_commands_are_those_that_can_be_typed() -> None:
    """In a checkout it is `./run check`; man pages, web pages and files that stay name what is installed."""
    stays = {"cli.manual", "cli.unit_files", "cli.first_config"}
    printed = [module for module in modules() if module.top != "web" and module.name not in stays]
    check(offence for module in printed for offence in _commands(module))
    recipes = (ROOT / "templates/recipe").glob("*.txt")
    assert not [
        file.name
        for file in recipes
        if re.search(r"mail2sms (messages|recipe|check)", file.read_text("utf-8"))
    ]


def test_the_daemon_imports_neither_typer_nor_rich() -> None:
    """Its memory counts."""
    code = "import sys, mail2sms.daemon; print(sorted({'typer', 'rich', 'alembic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
