"""`mail2sms init`: five questions, each also an option, and a first mail2sms.yaml. Never overwrites."""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from mail2sms import carriers, config
from mail2sms.cli import CONFIG, SYSTEM_FOLDER, Exit, Failed, is_coloured, tell, typed
from mail2sms.cli.first_config import Answers, render
from mail2sms.cli.terminal import YesOption, print_lines
from mail2sms.config.values import Country, Domain, Phone, SenderPattern
from mail2sms.endpoint import Endpoint
from mail2sms.errors import BadOption
from mail2sms.model import Msisdn
from mail2sms.options import Secret, read_endpoint, read_networks

Read = TypeVar("Read")
_UNITS = (Path("/etc/systemd/system"), Path("/lib/systemd/system"))
_HERE = ("127.0.0.1", "::1")
_DOMAIN = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_YES, _NO = ("yes", "y", "trial"), ("no", "n", "live")


def init(  # noqa: PLR0913, PLR0917  # a parameter is an option: typer's way
    target: Annotated[
        Path | None, typer.Argument(metavar="[DIR|FILE]", show_default=False, help="Where it is written.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the addresses: sms.acme.example.")
    ] = None,
    senders: Annotated[
        str | None, typer.Option(metavar="WHO", help='"*@acme.example", and the networks they send from.')
    ] = None,
    carrier: Annotated[str | None, typer.Option(metavar="TYPE", help=", ".join(carriers.types()))] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="One of the carrier's.")
    ] = None,
    country: Annotated[str | None, typer.Option(metavar="XX", help="Whose numbers are yours.")] = None,
    mode: Annotated[
        str | None, typer.Option(metavar="MODE", help="trial, live, or your own phones for a trial.")
    ] = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where mail comes in.")] = "127.0.0.1:2525",
    web: Annotated[str, typer.Option(metavar="HOST:PORT", help="API and web pages.")] = "127.0.0.1:8025",
    smarthost: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where emails leave.", show_default="127.0.0.1:25")
    ] = None,
    yes: YesOption = False,
) -> None:
    """Write a first mail2sms.yaml, in five questions."""
    path = _path(target)
    given = {"domain": domain, "senders": senders, "carrier": carrier, "country": country, "mode": mode}
    asking = _Asking(given={k: v for k, v in given.items() if v is not None}, is_agreed=yes)
    for name, text in (("listen", listen), ("web", web), ("smarthost", smarthost)):
        if text is not None:
            asking.given[name] = text
    asking.refuse_if_silent()
    answers = _answers(asking, path, _pairs(option or []))
    _write(path, render(answers))
    _check(path)
    print_lines(*_next_steps(path, answers))


def _path(target: Path | None) -> Path:
    """Return the file that is to be written. Raises Failed when it is there."""
    chosen = target or (SYSTEM_FOLDER if os.geteuid() == 0 else Path())
    path = chosen if chosen.suffix in (".yaml", ".yml") and not chosen.is_dir() else chosen / CONFIG
    if os.path.lexists(path):
        raise Failed(Exit.USAGE, f"{path} is there already and stays as it is; name another folder or file")
    return path


@dataclass(slots=True)
class _Asking:
    """What was given as options; the rest is asked, or takes its default when that is agreed."""

    given: dict[str, str]
    is_agreed: bool
    has_asked: bool = False

    def refuse_if_silent(self) -> None:
        """Raise Failed when answers are missing and nobody is there to give them."""
        needed = ("domain",) if self.is_agreed else ("domain", "senders", "carrier", "country", "mode")
        missing = [f"--{name}" for name in needed if name not in self.given]
        if missing and (self.is_agreed or not sys.stdin.isatty()):
            defaults = "" if self.is_agreed or missing == ["--domain"] else "; --yes takes the defaults"
            raise Failed(Exit.USAGE, f"nobody can be asked here: give {', '.join(missing)}{defaults}")

    def answer(
        self, name: str, question: str, default: str, read: Callable[[str], Read], *, is_secret: bool = False
    ) -> Read:
        """Return the answer, read. A bad option raises Failed; a bad answer is explained and asked for again."""
        text = self.given.get(name, default if self.is_agreed else None)
        if text is not None:
            try:
                return read(text)
            except BadOption as e:
                raise Failed(Exit.USAGE, f"--{name}: {_sentence(e)}") from e
        self.has_asked = True
        shown = f" [{default}]" if default else ""
        while True:
            said = _ask(f"{question}{shown} ", is_secret=is_secret) or default
            try:
                return read(said)
            except BadOption as e:
                tell(_sentence(e) if said else "an answer is needed")


def _ask(prompt: str, *, is_secret: bool) -> str:
    try:
        return (getpass.getpass(prompt) if is_secret else input(prompt)).strip()
    except EOFError as e:
        raise Failed(Exit.USAGE, "no more answers; nothing was written") from e


def _sentence(error: BadOption) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


def _read(kind: Any, text: str, country: str = "") -> Any:
    """Read a value as the configuration does. Raises BadOption."""
    try:
        return TypeAdapter(kind).validate_python(text, context=country)
    except ValidationError as e:
        cause = e.errors()[0].get("ctx", {}).get("error")
        raise cause if isinstance(cause, BadOption) else BadOption(e.errors()[0]["msg"]) from None


def _answers(asking: _Asking, path: Path, options: Mapping[str, str]) -> Answers:
    domain = asking.answer("domain", "1/5  Domain for SMS addresses?", "", lambda text: _read(Domain, text))
    company = domain.partition(".")[2] if domain.count(".") > 1 else domain
    hint = " Addresses or *@domain, then the networks they send from if not this machine\n    "
    senders, networks = asking.answer("senders", f"2/5  Who may send?{hint}", f"*@{company}", _senders)
    carrier = asking.answer("carrier", _menu(), _default_carrier(), _carrier)
    own = _carrier_options(asking, carrier, options)
    country = asking.answer(
        "country", "4/5  Country of your numbers?", _country(), lambda t: _read(Country, t)
    )
    mode, phones = _mode(asking, carrier, country)
    smtp = asking.answer("listen", "", "", read_endpoint)
    smarthost = asking.given.get("smarthost", "127.0.0.1:25" if smtp.port != 25 else "")
    return Answers(
        domain=domain,
        senders=senders,
        networks=networks,
        carrier=carrier,
        options=own,
        country=country,
        mode=mode,
        phones=phones,
        smtp=smtp,
        web=asking.answer("web", "", "", read_endpoint),
        smarthost=_smarthost(smarthost),
        database=f"sqlite:///{_state(path)}/mail2sms.db",
        zone=_zone(),
    )


def _smarthost(text: str) -> Endpoint | None:
    try:
        return read_endpoint(text) if text else None
    except BadOption as e:
        raise Failed(Exit.USAGE, f"--smarthost: {_sentence(e)}") from e


def _senders(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    words = [word for word in re.split(r"[,\s]+", text) if word]
    patterns = tuple(_read(SenderPattern, word) for word in words if "@" in word or word == "*")
    networks = tuple(
        str(network) for word in words if not ("@" in word or word == "*") for network in _networks(word)
    )
    if not patterns:
        raise BadOption("who may send is missing", 'such as "*@acme.example 10.1.0.20"')
    return patterns, networks or _HERE


def _networks(word: str) -> tuple[str, ...]:
    """Return a network; one address is written as such."""
    try:
        found = read_networks(word)
    except BadOption:
        if not _DOMAIN.fullmatch(word):
            raise
        raise BadOption(f'"{word}" is a domain, not an address', f'"*@{word}" is everybody there') from None
    if any(network.prefixlen == 0 for network in found):
        raise BadOption(
            f"{word} is the whole internet: that proves nothing", "name your mail server's address"
        )
    return tuple(str(n.network_address if n.num_addresses == 1 else n) for n in found)


def _menu() -> str:
    lines = [f"     {n:2} {name:15} {_about(name)}" for n, name in enumerate(carriers.types(), 1)]
    return "\n".join(["3/5  Carrier? Its number or name", *lines, "    "])


def _about(name: str) -> str:
    """Return the first sentence of a carrier's module."""
    return re.split(r"[.:]\s", (carriers.load(name).__doc__ or "").strip().replace("\n", " "))[0]


def _default_carrier() -> str:
    return "simulated" if "simulated" in carriers.types() else carriers.types()[0]


def _carrier(text: str) -> str:
    types = carriers.types()
    if text.isascii() and text.isdigit() and 0 < int(text) <= len(types):
        return types[int(text) - 1]
    if text not in types:
        raise BadOption(f'there is no carrier "{text}"', f"one of: {', '.join(types)}")
    return text


def _pairs(options: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in options]
    for key, equals, _ in pairs:
        if not equals:
            raise Failed(Exit.USAGE, f'--option: expected KEY=VALUE, got "{key}"')
    return {key: value for key, _, value in pairs}


def _carrier_options(asking: _Asking, carrier: str, options: Mapping[str, str]) -> dict[str, str]:
    """Return the carrier's options: what was given, and what it can't do without."""
    fields = carriers.load(carrier).Options.model_fields
    unknown = [key for key in options if key not in fields or key == "type"]
    if unknown:
        raise Failed(Exit.USAGE, f"--option: {carrier} has no {unknown[0]}; it has {', '.join(fields)}")
    wanted = [n for n, known in fields.items() if n != "type" and (known.is_required() or n in options)]
    found: dict[str, str] = {}
    for name in wanted:
        kind = fields[name].rebuild_annotation()
        if name in options:
            asking.given[f"option {name}"] = options[name]
        elif asking.is_agreed or not sys.stdin.isatty():
            raise Failed(Exit.USAGE, f"{carrier} needs it: --option {name}=...")
        is_secret = fields[name].annotation is Secret
        found[name] = asking.answer(
            f"option {name}", f"     its {name}?", "", _as_written(kind), is_secret=is_secret
        )
    return found


def _as_written(kind: Any) -> Callable[[str], str]:
    def read(text: str) -> str:
        _read(kind, text)
        return text

    return read


def _country() -> str:
    """Guess by the language of this terminal."""
    spoken = re.match(r"[a-z]{2}_([A-Z]{2})", os.environ.get("LC_ALL") or os.environ.get("LANG") or "")
    return spoken[1] if spoken else "FR"


def _zone() -> str:
    place = Path("/etc/localtime").resolve().as_posix().partition("/zoneinfo/")[2]
    return place or "UTC"


def _mode(asking: _Asking, carrier: str, country: str) -> tuple[str, tuple[Msisdn, ...]]:
    """Return the mode and the phones of a trial."""
    if carrier == "simulated" and "mode" not in asking.given:
        asking.given["mode"] = "simulate"
        if asking.has_asked:
            print_lines("5/5  The simulated carrier sends nothing: mode simulate", "")
    question = "5/5  Only to your own phones at first? yes, no, or their numbers"

    def read(text: str) -> tuple[str, tuple[Msisdn, ...]]:
        word = text.lower()
        if carrier == "simulated" and word in _NO:
            raise BadOption(
                "mode live with a simulated carrier would reach no phone", "choose another carrier"
            )
        if word == "simulate" or word in _NO:
            return ("live" if word in _NO else word), ()
        if word in _YES:
            return "trial", ()
        phones = [_read(Phone, part.strip(), country) for part in text.split(",") if part.strip()]
        return "trial", tuple(dict.fromkeys(phones))

    return asking.answer("mode", question, "yes", read)


def _state(path: Path) -> Path:
    folder = path.resolve().parent
    return Path("/var/lib/mail2sms") if folder == SYSTEM_FOLDER else folder


def _write(path: Path, text: str) -> None:
    """Write a new file. Nobody else may read it, but the system's: the service's user must, and secrets stand apart."""
    is_system = path.resolve().parent == SYSTEM_FOLDER
    try:
        path.parent.mkdir(mode=0o755 if is_system else 0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644 if is_system else 0o600)
    except FileExistsError as e:
        raise Failed(Exit.USAGE, f"{e.filename} is there already and stays as it is") from e
    except OSError as e:
        code = Exit.NOT_ALLOWED if isinstance(e, PermissionError) else Exit.UNAVAILABLE
        raise Failed(code, f"{path} cannot be written: {e.strerror}; name another folder") from e
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    readers = "the service's user may read it" if is_system else "for this user's eyes only"
    print_lines(f"Wrote  {path}   ({text.count(chr(10))} lines, {readers})", "")


def _check(path: Path) -> None:
    report = config.check(path, environment=True)
    print_lines(config.render(report, is_coloured(sys.stdout)))
    if report.errors:
        raise Failed(Exit.BAD_CONFIG, f"put right what is said above in {path}, then: {typed('check', path)}")


def _next_steps(path: Path, answers: Answers) -> list[str]:
    is_system = path.resolve().parent == SYSTEM_FOLDER
    config = None if is_system or path == Path(CONFIG) else path
    has_unit = any((folder / "mail2sms.service").exists() for folder in _UNITS)
    start = typed("serve", config)
    if is_system:
        unit = "" if has_unit else f"sudo {typed('unit --to /etc/systemd/system')}; "
        start = f"{unit}sudo systemctl enable --now mail2sms"
    is_open = answers.smtp.host in ("0.0.0.0", "::")  # noqa: S104  # is not bound
    here = Endpoint("127.0.0.1", answers.smtp.port) if is_open else answers.smtp
    if answers.mode == "trial" and not answers.phones:
        start = f"write your own phones into {path} (users or teams): a trial sends to no other; then {start}"
    return [
        f"Next   1  {start}",
        f"       2  let your mail server bring mail for {answers.domain} to {here}:",
        f"            {typed('recipe postfix', config)}      (or exim, m365, google, script)",
        f"       3  {typed('doctor', config)}",
    ]
