"""`mail2sms completion`: scripts that let a shell complete verbs, options and values. They ask nothing at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated

import typer

from mail2sms.cli import Exit, Failed
from mail2sms.cli.terminal import print_lines
from mail2sms.cli.verbs import Option, Verb, verbs
from mail2sms.model import Status

SHELLS = ("bash", "zsh", "fish")
_FILES = ("FILE", "DIR", "PATH")  # what stands for a value that is a file's name begins so


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", show_default=False, help="bash, zsh or fish.")],
) -> None:
    """What lets a shell complete mail2sms.

    bash: source <(mail2sms completion bash), in ~/.bashrc. zsh: the same with zsh, in ~/.zshrc below compinit.
    fish: mail2sms completion fish > ~/.config/fish/completions/mail2sms.fish
    """
    if shell not in SHELLS:
        raise Failed(Exit.USAGE, f'there is no completion for "{shell}"; there is bash, zsh and fish')
    write = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    print_lines(*write(verbs()))


def _values(verb: str) -> tuple[str, ...]:
    """Return what the argument of a verb may be, where that is known beforehand."""
    from mail2sms.cli.recipes import summaries
    from mail2sms.config import derived, reference

    known: dict[str, Callable[[], Iterable[str]]] = {
        "recipe": lambda: dict(summaries()),
        "completion": lambda: SHELLS,
        "template show": lambda: derived.SHIPPED,
        "man": lambda: ["mail2sms.yaml", *(each.name.split()[0] for each in verbs())],
        "explain-config": lambda: [option.name for option in reference.flat(reference.everything())],
    }
    return tuple(dict.fromkeys(known[verb]())) if verb in known else ()


def _option_values(option: Option) -> tuple[str, ...]:
    return tuple(Status) if option.value == "STATUS" else ()


def _takes_file(value: str) -> bool:
    return value.strip("[]").startswith(_FILES)


def _nouns(known: Sequence[Verb]) -> dict[str, list[Verb]]:
    """Return the verbs of two words by their first."""
    found: dict[str, list[Verb]] = {}
    for verb in known:
        if " " in verb.name:
            found.setdefault(verb.name.partition(" ")[0], []).append(verb)
    return found


def _bash(known: Sequence[Verb]) -> Iterator[str]:
    firsts = dict.fromkeys(verb.name.partition(" ")[0] for verb in known)
    yield "_mail2sms() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}"
    yield '    local verb=${COMP_WORDS[1]} say="" files=""'
    yield "    COMPREPLY=()"
    yield "    if ((COMP_CWORD == 1)); then"
    yield f"        mapfile -t COMPREPLY < <(compgen -W '{' '.join(firsts)} --help --version' -- \"$word\")"
    yield "        return"
    yield "    fi"
    yield '    if ((COMP_CWORD > 2)); then case "$verb ${COMP_WORDS[2]}" in'
    for verb in known:
        if " " in verb.name:
            yield f"        '{verb.name}') verb='{verb.name}' ;;"
    yield "    esac; fi"
    yield '    case "$verb" in'
    nouns = _nouns(known)
    for noun in [noun for noun in nouns if not _is_verb(noun, known)]:
        yield f"        '{noun}') say='{' '.join(verb.name.split()[1] for verb in nouns[noun])}' ;;"
    for verb in known:
        yield from _bash_verb(verb, nouns.get(verb.name, []))
    yield "    esac"
    yield '    mapfile -t COMPREPLY < <(compgen -W "$say" -- "$word")'
    yield "    if [[ -n $files ]]; then"
    yield "        compopt -o filenames 2>/dev/null"
    yield '        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$word")'
    yield "    fi"
    yield "}"
    yield "complete -F _mail2sms mail2sms"


def _bash_verb(verb: Verb, inner: Sequence[Verb]) -> Iterator[str]:
    flags = [flag for option in verb.options for flag in option.flags]
    values = [*(each.name.split()[1] for each in inner), *_values(verb.name)]
    is_file = any(_takes_file(argument.value) for argument in verb.arguments)
    yield f"        '{verb.name}')"
    yield '            case "$before" in'
    for option in verb.options:
        if option.value:
            files = " files=1" if _takes_file(option.value) else ""
            yield f"                {'|'.join(option.flags)}) say='{' '.join(_option_values(option))}'{files} ;;"
    after = f"say='{' '.join(values)}'" + (" files=1" if is_file else "")
    yield f"                *) if [[ $word == -* ]]; then say='{' '.join(flags)}'; else {after}; fi ;;"
    yield "            esac ;;"


def _zsh(known: Sequence[Verb]) -> Iterator[str]:
    yield "#compdef mail2sms"
    yield "_mail2sms() {"
    yield "    local -a say"
    yield "    local verb=$words[2]"
    yield "    if (( CURRENT == 2 )); then"
    nouns = _nouns(known)
    singles = [f"{verb.name}:{_plain(verb.summary)}" for verb in known if " " not in verb.name]
    singles += [
        f"{noun}:{', '.join(v.name for v in nouns[noun])}" for noun in nouns if not _is_verb(noun, known)
    ]
    yield f"        say=({' '.join(map(_quoted, singles))})"
    yield "        _describe verb say; return"
    yield "    fi"
    for noun, inner in nouns.items():
        pairs = [f"{verb.name.split()[1]}:{_plain(verb.summary)}" for verb in inner]
        yield f"    if [[ $verb == {noun} ]]; then"
        yield f"        say=({' '.join(map(_quoted, pairs))})"
        yield "        if (( CURRENT == 3 )) && [[ $words[3] != -* ]]; then _describe verb say; return; fi"
        yield f'        case $words[3] in ({"|".join(v.name.split()[1] for v in inner)}) verb+=" $words[3]" ;; esac'
        yield "    fi"
    yield "    case $verb in"
    for verb in known:
        specs = [spec for option in verb.options for spec in _zsh_option(option)]
        specs += [_zsh_argument(verb, argument) for argument in verb.arguments]
        yield f"        ('{verb.name}') _arguments {' '.join(map(_quoted, specs))} ;;"
    yield "    esac"
    yield "}"
    yield 'if [[ $funcstack[1] == _mail2sms ]]; then _mail2sms "$@"; else compdef _mail2sms mail2sms; fi'


def _is_verb(name: str, known: Sequence[Verb]) -> bool:
    return any(verb.name == name for verb in known)


def _zsh_option(option: Option) -> Iterator[str]:
    values = " ".join(_option_values(option))
    action = "_files" if _takes_file(option.value) else f"({values})" if values else " "
    value = f":{_plain(option.value)}:{action}" if option.value else ""
    yield from (f"*{flag}[{_plain(option.text)}]{value}" for flag in option.flags)


def _zsh_argument(verb: Verb, argument: Option) -> str:
    values = " ".join(_values(verb.name))
    action = f"({values})" if values else "_files" if _takes_file(argument.value) else " "
    return f"*:{_plain(argument.value)}:{action}"


def _plain(text: str) -> str:
    """Return a text without what _arguments and _describe take for syntax."""
    return text.translate(str.maketrans(":[]\n", " () "))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish(known: Sequence[Verb]) -> Iterator[str]:
    start = "complete -c mail2sms"
    yield f"{start} -f"
    nouns = _nouns(known)
    for verb in known:
        if " " not in verb.name:
            yield f"{start} -n __fish_use_subcommand -a {verb.name} -d {_fished(verb.summary)}"
    for noun, inner in nouns.items():
        if not _is_verb(noun, known):
            about = ", ".join(verb.name for verb in inner)
            yield f"{start} -n __fish_use_subcommand -a {noun} -d {_fished(about)}"
        seen = _seen(noun, inner)
        for verb in inner:
            yield f"{start} -n '{seen}' -a {verb.name.split()[1]} -d {_fished(verb.summary)}"
    for verb in known:
        outer = [noun for noun, inner in nouns.items() if any(v.name == f"{noun} {verb.name}" for v in inner)]
        elsewhere = "".join(f"; and not __fish_seen_subcommand_from {noun}" for noun in outer)
        seen = _seen(verb.name, nouns.get(verb.name, [])) + elsewhere
        yield from _fish_verb(f"{start} -n '{seen}'", verb)


def _seen(name: str, inner: Sequence[Verb]) -> str:
    """Return fish's condition for being behind these words, and behind none of the verbs inside."""
    seen = [f"__fish_seen_subcommand_from {word}" for word in name.split()]
    words = " ".join(verb.name.split()[1] for verb in inner)
    return "; and ".join([*seen, *([f"not __fish_seen_subcommand_from {words}"] if words else [])])


def _fish_verb(start: str, verb: Verb) -> Iterator[str]:
    for option in verb.options:
        flags = " ".join(f"-l {f[2:]}" if f.startswith("--") else f"-s {f[1:]}" for f in option.flags)
        values = " ".join(_option_values(option))
        kind = " -r -F" if _takes_file(option.value) else f" -x -a '{values}'" if option.value else ""
        yield f"{start} {flags}{kind} -d {_fished(option.text)}"
    if any(_takes_file(argument.value) for argument in verb.arguments):
        yield f"{start} -F"
    if values := " ".join(_values(verb.name)):
        yield f"{start} -a '{values}'"


def _fished(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ") + "'"
