"""What a person wrote, without the mail they answer, their signature and their employer's disclaimer. Pure.

Works line by line, forward once; every regex is linear and sees at most a few hundred characters. When in doubt a line
is kept: a lost word is worse than a bought segment, and what was left out is always shown to the writer. All languages
are tried at once: people answer mails of others in a program of a third language.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mail2sms.model import LeftOut

# What follows is text: nobody writes an SMS that long, and looking costs 30 microseconds a line.
_LINES = 300
_CHARACTERS = 20_000
_TAIL_LINES = 200  # of a signature; what follows belongs to it
_MATCHED_CHARACTERS = 1000  # longer lines are text
_HEAD_CHARACTERS = 600  # of an attribution, unwrapped
_HEAD_LINES = 4
_BLOCK_LINES = 10  # of an Outlook header
_WRAPPED = 60  # a quoted line this long may have been cut by a mail program
_SAMPLE = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Stripped:
    """What the person wrote, and what was left out, in the mail's order."""

    text: str
    left_out: tuple[LeftOut, ...] = ()


# "On 12 May 2026 at 09:41, Marie Dubois <marie@acme.example> wrote:"

_OPENERS = frozenset({"on", "le", "am", "il", "el", "em", "op", "den", "på", "dne", "dnia", "στις"})
_VERBS = (
    *(
        "wrote",
        "writes",
        "a écrit",
        "ha scritto",
        "schrieb",
        "geschrieben",
        "escribió",
        "ha escrito",
        "escreveu",
    ),
    *(
        "schreef",
        "geschreven",
        "napisał",
        "pisze",
        "skrev",
        "skrifaði",
        "kirjoitti",
        "írta",
        "napsal",
        "napísal",
    ),
    *("написал", "пишет", "пише", "написа", "a scris", "yazdı", "έγραψε", "je napisao", "je napisal", "rašė"),
    *("rakstīja", "kirjutas", "va escriure"),
)
_WHEN = re.compile(r"\b(?:19|20)\d\d\b|\b\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b|\b\d{1,2} ?[:.h] ?\d{2}\b")
_WHO = re.compile(r"<[^<>]{0,200}@[^<>]{0,200}> ?:\Z")
_TRIM = " \t\xa0*_-"

# "From: ... Sent: ... To: ... Subject: ..." of Outlook, in its languages

_LABELS = {
    "from": "from|de|von|da|van|od|från|fra|lähettäjä|от|от кого|expéditeur|remitente|feladó|gönderen|από|message du",
    "sent": (
        "sent|date|envoyé|envoyé le|gesendet|datum|inviato|inviato il|data|enviado|enviado el|enviado em|enviada em"
        "|fecha|verzonden|wysłano|skickat|sendt|dato|lähetetty|päivämäärä|отправлено|дата|odesláno|elküldve|gönderildi"
    ),
    "to": "to|à|a|an|para|aan|do|till|til|vastaanottaja|кому|pour|destinataire|komu|címzett|kime|προς",
    "cc": "cc|copie à|copie|kopie|kopia|copia|cópia|kopio|копия|dw|répondre à|reply-to|antwort an",
    "subject": (
        "subject|objet|sujet|betreff|oggetto|asunto|assunto|onderwerp|temat|ämne|emne|aihe|тема|předmět|tárgy|konu|θέμα"
    ),
}
_LABEL_KIND = {label: kind for kind, labels in _LABELS.items() for label in labels.split("|")}
_LABEL_CHARACTERS = 40

# "-----Original Message-----"

_ORIGINAL = re.compile(
    r"(?:[-_=*~]{2,}+\s*+)?(?:(?:begin|début du|anfang der|inizio(?: del)?) )?(?:"
    r"original message|forwarded message|reply message|message d['’]origine|message original|message transféré"
    r"|message initial|(?:ursprüngliche|weitergeleitete|originale?) nachricht|messaggio (?:originale|inoltrato)"
    r"|mensaje (?:original|reenviado)|mensagem (?:original|encaminhada)|(?:oorspronkelijk|doorgestuurd) bericht"
    r"|oprindelig (?:besked|meddelelse)|videresendt (?:besked|melding)|opprinnelig melding|originalmeddelande"
    r"|(?:ursprungligt|vidarebefordrat) meddelande|oryginalna wiadomość|wiadomość oryginalna|przekazana wiadomość"
    r"|alkuperäinen viesti|(?:исходное|пересылаемое) сообщение|původní zpráva|eredeti üzenet"
    r")\s*+(?::|[-_=*~]{2,})\Z",
    re.IGNORECASE,
)
_RULER = re.compile(r"[-_=*~\u2014]{3,}\Z")
_SIGNATURE = re.compile(r"(?:--|__|_{20,})\Z")  # RFC 3676 section 4.3; mailing lists draw the long one

# "Sent from my iPhone"

_MOBILE = re.compile(
    r"sent (?:from|via|with) (?:my|the|mail|outlook|yahoo|gmail|proton|samsung|aol|typeapp|bluemail|spark|k-9|mobile)"
    r"|get outlook for|get typeapp|envoyé (?:de|depuis|à partir de|avec) |(?:obtenez|obtenir|télécharger) outlook"
    r"|gesendet (?:von|mit|über) |von meinem .{1,30} gesendet|diese nachricht wurde von mein|outlook für "
    r"|inviato da|(?:scarica|ottieni|obtener|obtenga|skaffa|hämta|hent|pobierz) outlook|obter o outlook"
    r"|enviado (?:desde|do|a partir|con|de) |(?:verzonden|verstuurd) (?:vanaf|met|via) |outlook voor "
    r"|skickat från |sendt fra |wysłan[eo] z |lähetetty .{1,20}stä\b|отправлено (?:из|с) |odesláno z ",
    re.IGNORECASE,
)
_MOBILE_CHARACTERS = 70
_MY = re.compile(r"\b(?:my|mon|ma|meinem|mio|mia|mi|meu|minha|mijn|min|mojego)\b", re.IGNORECASE)
_LINK = re.compile(r"<[^<>]{0,300}>")

_DISCLAIMER = (  # a paragraph that has all three
    re.compile(
        r"confiden[tc]|vertraulich|riservat|vertrouwelijk|poufn|fortrolig|конфиденц|privileged", re.IGNORECASE
    ),
    re.compile(
        r"message|mail|courriel|nachricht|messaggi|mensaje|mensagem|bericht|wiadomo|comunicaz",
        re.IGNORECASE,
    ),
    re.compile(
        r"recipient|addressee|destinat|empfänger|adress?at|ontvanger|intended|modtager|mottaker",
        re.IGNORECASE,
    ),
)
_PRINTING = re.compile(
    r"before printing this|avant d['’]imprimer ce|vor dem (?:aus)?drucken dieser|prima di stampare quest",
    re.IGNORECASE,
)
_DISCLAIMER_CHARACTERS = 120

# The footer of our own reply mails, below its "-- " line
_FOOTER = re.compile(r"SMS (?:from|de|von|da|di) \+\d")

_Cut = tuple[str, int]  # what a line begins (quote, signature, disclaimer) and where that ends


def strip(text: str) -> Stripped:
    """Return what the person wrote. Costs time linear in the text, and little of it."""
    lines = text.split("\n")
    kept: list[str] = []
    left_out: dict[str, LeftOut] = {}
    at, is_joint = 0, False
    reach = min(_LINES, text.count("\n", 0, _CHARACTERS) + 1)
    while at < reach:
        cut = _cut(lines, at, has_text=bool(kept))
        if cut:
            kind, end = cut
            left_out[kind] = _more(left_out.get(kind), kind, lines[at:end])
            at, is_joint = end, True
            continue
        is_blank = not lines[at].strip()
        if not (is_blank and (not kept or (is_joint and not kept[-1].strip()))):
            kept.append(lines[at])
        is_joint = is_joint and is_blank
        at += 1
    kept.extend(lines[at:])
    return Stripped(text="\n".join(kept).rstrip(), left_out=tuple(left_out.values()))


def _more(before: LeftOut | None, kind: str, lines: list[str]) -> LeftOut:
    said = [line.strip() for line in lines if line.strip()]
    if before is None:
        return LeftOut(kind=kind, lines=len(said), sample=said[0][:_SAMPLE])
    return LeftOut(kind=kind, lines=before.lines + len(said), sample=before.sample)


def _cut(lines: list[str], at: int, *, has_text: bool) -> _Cut | None:
    """Return what begins at this line if it is not the person's own."""
    line = lines[at]
    if not line.strip() or len(line) > _MATCHED_CHARACTERS:
        return None
    if _is_quoted(line):
        return "quote", _quote_end(lines, at, has_text=has_text)
    head = _head_end(lines, at)
    if head:
        return "quote", _answered_end(lines, head, has_text=has_text)
    if _SIGNATURE.match(line.strip()):
        is_ours = at + 1 < len(lines) and bool(_FOOTER.match(lines[at + 1]))
        return "quote" if is_ours else "signature", _tail_end(lines, at + 1)
    if _MOBILE.match(line.lstrip()):
        end = _mobile_end(lines, at)
        return ("signature", end) if end else None
    if has_text and not lines[at - 1].strip() and _is_disclaimer(lines, at):
        return "disclaimer", _tail_end(lines, at + 1)
    return None


def _is_quoted(line: str) -> bool:
    return line.startswith(">") or line.lstrip().startswith(">")


def _after_blanks(lines: list[str], at: int) -> int:
    while at < len(lines) and not lines[at].strip():
        at += 1
    return at


# Quotes


def _quote_end(lines: list[str], at: int, *, has_text: bool) -> int:
    """Return where the quoted lines end, with lines that a mail program cut off them."""
    end = at
    while at < len(lines):
        if _is_quoted(lines[at]) or (lines[at].strip() and _is_cut_off(lines, at, has_text=has_text)):
            at += 1
            end = at
            continue
        after = _after_blanks(lines, at)
        if after == at or after == len(lines) or not _is_quoted(lines[after]):
            break
        at = after
    return end


def _is_cut_off(lines: list[str], at: int, *, has_text: bool) -> bool:
    """Whether this line is the end of the long quoted one before it, and not an answer written below it."""
    before, line = lines[at - 1].rstrip(), lines[at].lstrip()
    after = lines[at + 1] if at + 1 < len(lines) else ""
    if len(before) < _WRAPPED:
        return False
    if before[-1] in ".!?:;…":
        return has_text and not line[0].isupper() and _is_quoted(after)
    return _is_quoted(after) or (not line[0].isupper() and not after.strip())


def _answered_end(lines: list[str], head: int, *, has_text: bool) -> int:
    """Return where the mail ends whose head ends before `head`: its `>` lines, else all that follows."""
    first = _after_blanks(lines, head)
    if first < len(lines) and _is_quoted(lines[first]):
        return _quote_end(lines, first, has_text=has_text)
    if has_text:
        return len(lines)
    for at in range(first, len(lines)):
        if _FOOTER.match(lines[at]):  # written below our own mail, which ends with its footer
            return next((end for end in range(at, len(lines)) if not lines[end].strip()), len(lines))
    return len(lines)


def _head_end(lines: list[str], at: int) -> int:
    """Return where the head of an answered mail ends that begins at this line, 0 if none does."""
    line = lines[at].strip()
    if _RULER.match(line):
        after = _after_blanks(lines, at + 1)
        is_near = after < min(at + 4, len(lines)) and not _RULER.match(lines[after].strip())
        return _head_end(lines, after) if is_near else 0
    if len(line) < _LABEL_CHARACTERS * 2 and _ORIGINAL.match(line):
        return at + 1
    return _attribution_end(lines, at) or _block_end(lines, at)


def _attribution_end(lines: list[str], at: int) -> int:
    head = ""
    for end in range(at, min(at + _HEAD_LINES, len(lines))):
        line = lines[end].strip()
        if not line or len(head) + len(line) > _HEAD_CHARACTERS:
            return 0
        head = f"{head} {line}" if head else line
        if _is_attribution(head):
            return 0 if _begins_later(lines, at, end) else end + 1
    return 0


def _is_attribution(head: str) -> bool:
    bare = head.rstrip(_TRIM)
    if not bare.endswith((":", "：", "wrote")):
        return False
    when = _WHEN.search(bare)
    is_named = "@" in bare or "(SMS)" in bare
    if not (when or is_named):
        return False
    bare = " ".join(bare.split())
    if when and _WHO.search(bare):
        return True
    lower = bare.lower()
    if not any(verb in lower for verb in _VERBS):
        return False
    if bare.endswith("wrote"):
        return bool(when and is_named and _is_opened(bare))
    return bool(when and is_named) or _is_opened(bare) or (bare[0].isdigit() and bool(when))


def _is_opened(line: str) -> bool:
    words = line.lstrip(_TRIM).lower()
    return words.partition(" ")[0] in _OPENERS or words.startswith("w dniu ")


def _has_digit(line: str) -> bool:
    return any(c.isdigit() for c in line)


def _begins_later(lines: list[str], at: int, end: int) -> bool:
    """Whether an attribution found on lines at..end begins below the first, which then is the person's own."""
    if at == end:
        return False
    is_opened = _is_opened(lines[at]) and _has_digit(lines[at])
    for line in lines[at + 1 : end + 1]:
        if _is_opened(line) and _has_digit(line):
            return True
        if (
            not is_opened
            and _WHEN.search(line)
            and ("@" in line or any(verb in line.lower() for verb in _VERBS))
        ):
            return True
    return not (is_opened or _WHEN.search(lines[at]))


def _block_end(lines: list[str], at: int) -> int:
    """Return where an Outlook header ends: at least three different labels, so that "A: Milano / Da: Roma" stays."""
    if not _label(lines[at]):
        return 0
    kinds: set[str] = set()
    end, is_named = at, False
    for index in range(at, min(at + _BLOCK_LINES, len(lines))):
        line = lines[index]
        kind = _label(line)
        if not kind and (not line.strip() or index - end >= 2):
            break
        if kind:
            kinds.add(kind)
            end = index + 1
        is_named = is_named or "@" in line
    return end if len(kinds) >= 3 and "from" in kinds and (is_named or "subject" in kinds) else 0


def _label(line: str) -> str:
    colon = line.find(":", 0, _LABEL_CHARACTERS)
    return _LABEL_KIND.get(line[:colon].strip(_TRIM).lower(), "") if colon > 0 else ""


# Signatures and disclaimers


def _tail_end(lines: list[str], at: int) -> int:
    """Return where what hangs below a text ends: at the mail answered, if that follows, else at the end."""
    for index in range(at, min(at + _TAIL_LINES, len(lines))):
        if _is_end(lines, index) and not _SIGNATURE.match(lines[index].strip()):
            return index
    return len(lines)


def _is_end(lines: list[str], at: int) -> bool:
    """Whether a text ends above this line: a quote or a signature begins here."""
    line = lines[at]
    if not line.strip() or len(line) > _MATCHED_CHARACTERS:
        return False
    return _is_quoted(line) or bool(_SIGNATURE.match(line.strip())) or _head_end(lines, at) > 0


def _mobile_end(lines: list[str], at: int) -> int:
    """Return where "Sent from my phone" ends, 0 if it is a sentence: more text follows, or it goes on too long."""
    line = lines[at]
    bare = _LINK.sub("", line).strip()
    if len(bare) > _MOBILE_CHARACTERS or any(c in bare for c in ",;!?"):
        return 0
    if "outlook" in bare.lower() and "<http" in line:
        return len(lines)  # Outlook for phones marks no quotes
    after = _after_blanks(lines, at + 1)
    if after == len(lines) or _MOBILE.match(lines[after].lstrip()) or _is_end(lines, after):
        return at + 1
    is_alone = at > 0 and not lines[at - 1].strip() and after > at + 1
    return len(lines) if is_alone and _MY.search(bare) else 0


def _is_disclaimer(lines: list[str], at: int) -> bool:
    paragraph: list[str] = []
    for line in lines[at : at + 40]:
        if not line.strip():
            break
        paragraph.append(line[:_MATCHED_CHARACTERS])
    text = " ".join(paragraph)
    if _PRINTING.search(text):
        return True
    return len(text) >= _DISCLAIMER_CHARACTERS and all(words.search(text) for words in _DISCLAIMER)
