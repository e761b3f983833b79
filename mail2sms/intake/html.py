"""HTML -> the text a reader sees. Pure, but costly and fed by strangers: only the sandbox's process imports this.

The one importer of inscriptis (and of lxml, which it stands on). Quotes are shown as `> `, and what mail programs mark
as a signature or as the mail answered gets a line that `quotes` knows, so that it is found in every language.
"""

from __future__ import annotations

import re
from itertools import islice

from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml import html as lxml_html  # type: ignore[import-untyped]

from mail2sms.intake.headers import too_complex

_CHARACTERS = 256 * 1024
_DEPTH = 250  # libxml2 silently returns nothing beyond 256
_ELEMENTS = 20_000

_OPEN, _CLOSE = "\ue000", "\ue001"  # private use: where a quote begins and ends, while inscriptis works
_DROPPED = frozenset({"script", "style", "head", "title", "template", "object", "svg", "select", "textarea"})
_HIDDEN = re.compile(
    r"display:none|visibility:hidden|mso-hide:all|max-height:0(?:px|;|!|$)|opacity:0(?:;|!|$)"
)
_PREFORMATTED = re.compile(r"white-space:(?:pre|break-spaces)")
_INDENT = re.compile(r"border(?:-width)?:(?:none|0)")
_MARGIN = re.compile(r"\bmargin\s*:([^;]*)")
_SIGNATURE = re.compile(
    r"\b(?:gmail_signature|moz-signature|applemailsignature|protonmail_signature_block|tutanota_signature"
    r"|(?:x_)?(?:ms-outlook-mobile-signature|signature))\b"
)
_ANSWERED = re.compile(r"\b(?:x_)?(?:divrplyfwdmsg|divrpf\d+|zwchr|yahoo_quoted|stopspelling)\b")
_INVISIBLE = str.maketrans("", "", "\u00ad\u034f\u200b\u2060\ufeff")
# libxml2 reads these, and lxml refuses to write them.
_NO_XML = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_FILLERS = "\u200c\u200d\u200e\u200f "

_CONFIG = ParserConfig(css=CSS_PROFILES["strict"].copy())


def to_text(html: str) -> str:
    """Return what a reader of the HTML sees, without links' targets and images; empty if that is nothing.

    Reads the first 256 Ki characters. Raises Refusal (mail.too_complex) for markup nested too deep or too much of it.
    """
    source = html[:_CHARACTERS].replace("\x00", "").replace(_OPEN, "").replace(_CLOSE, "")
    if not source.strip():
        return ""
    parser = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    document = b"<!doctype html><body>" + source.encode("utf-8", "replace")
    tree = lxml_html.document_fromstring(document, parser=parser)
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise too_complex(f"HTML nested more than {_DEPTH} deep")
    _prepare(tree)
    return _quoted(Inscriptis(tree, _CONFIG).get_text())


def _prepare(tree: lxml_html.HtmlElement) -> None:
    """Take out what nobody sees, mark quotes, and leave inscriptis no attribute that it would have to trust."""
    todo = [(tree, 1)]
    count = 0
    while todo:
        element, depth = todo.pop()
        count += 1
        if depth > _DEPTH:
            raise too_complex(f"HTML nested more than {_DEPTH} deep")
        if count > _ELEMENTS:
            raise too_complex(f"more than {_ELEMENTS} HTML elements")
        style = element.get("style", "").lower()
        if element.tag in _DROPPED or "hidden" in element.attrib or _HIDDEN.search("".join(style.split())):
            element.clear(keep_tail=True)
            element.tag = "span"
            continue
        todo.extend((child, depth + 1) for child in element)
        _mark(element, style)


def _mark(element: lxml_html.HtmlElement, style: str) -> None:
    names = " ".join(element.get(name, "") for name in ("id", "class", "type")).lower()
    compact = "".join(style.split())
    is_cited = "cite" in names or "quote" in names or not _INDENT.search(compact)
    element.attrib.clear()
    if _PREFORMATTED.search(compact):
        element.set("style", "white-space: pre")
    if element.tag == "blockquote" and is_cited:
        _first_line(element, _OPEN)
        element.append(_line(element, _CLOSE))
    elif _ANSWERED.search(names):
        _first_line(element, "-----Original Message-----")
    elif _SIGNATURE.search(names):
        _first_line(element, "-- ")
    elif element.tag in {"p", "div"} and _is_blank_line(element):
        element.clear(keep_tail=True)
        element.append(element.makeelement("br"))
    elif element.tag == "p" and ("msonormal" in names or _is_tight(style)):
        element.tag = "div"  # a line, not a paragraph: Outlook makes one of each line typed


def _line(element: lxml_html.HtmlElement, text: str) -> lxml_html.HtmlElement:
    line = element.makeelement("div")
    line.text = text
    return line


def _first_line(element: lxml_html.HtmlElement, text: str) -> None:
    line = _line(element, text)
    line.tail, element.text = _NO_XML.sub(" ", element.text or ""), None
    element.insert(0, line)


def _is_blank_line(element: lxml_html.HtmlElement) -> bool:
    """`<p>&nbsp;</p>`, also with spans inside: a line that its writer left empty."""
    pieces = list(islice(element.itertext(), 6))
    text = "".join(pieces)
    return len(pieces) < 6 and "\xa0" in text and not text.strip()


def _is_tight(style: str) -> bool:
    found = _MARGIN.search(style)
    values = found[1].split() if found else []
    bottom = values[2] if len(values) > 2 else "".join(values[:1])
    return bottom.startswith(("0", "."))


def _quoted(text: str) -> str:
    """Return the lines without layout: one blank between words, one empty line between paragraphs, quotes as `> `."""
    lines: list[str] = []
    depth = 0
    for line in text.split("\n"):
        bare = " ".join(line.translate(_INVISIBLE).split())
        opened, closed = bare.count(_OPEN), bare.count(_CLOSE)
        depth = max(0, depth + opened - closed)
        if opened or closed:
            bare = bare.replace(_OPEN, "").replace(_CLOSE, "").strip()
            if not bare:
                continue
        bare = bare if bare.strip(_FILLERS) else ""
        whole = f"{'>' * min(depth, 9)} {bare}".strip()
        if whole or (lines and lines[-1]):
            lines.append(whole)
    return "\n".join(lines).strip("\n")
