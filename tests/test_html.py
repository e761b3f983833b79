"""HTML is shown as a reader sees it, and can't cost more than its bounds."""

from __future__ import annotations

import pytest

from mail2sms.errors import Refusal
from mail2sms.intake.html import to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("just words", "just words"),
        ("a &amp; b &lt; c &nbsp; d", "a & b < c d"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("<div>one</div><div><br></div><div>two</div>", "one\n\ntwo"),
        (
            "<p class=MsoNormal>one</p><p class=MsoNormal>two</p>",
            "one\ntwo",
        ),  # Outlook: a paragraph is a line
        ("<p class=MsoNormal>one</p><p class=MsoNormal>&nbsp;</p><p class=MsoNormal>two</p>", "one\n\ntwo"),
        ('<p style="margin:0cm 0cm 0.0001pt">one</p><p style="margin:0">two</p>', "one\ntwo"),
        ("<p>a</p><br><br><br><br><p>b</p>", "a\n\nb"),
        ("<ul><li>a<li>b</ul><ol><li>c</ol>", "* a\n* b\n1. c"),
        (
            "<table><tr><td>a</td><td>b</td></tr><tr><td>long cell</td><td>c</td></tr></table>",
            "a b\nlong cell c",
        ),
        ('<a href="https://acme.example/x">Open</a> <img src=x alt=pixel>', "Open"),
        ("<title>t</title><style>p{}</style><script>x()</script><!-- c -->seen", "seen"),
        ('<div style="display:none">no</div>yes', "yes"),
        ('<div style="DISPLAY : NONE !important"><p>no</p></div>yes', "yes"),
        ('<span style="mso-hide:all">no</span><i hidden>no</i><b style="opacity:0">no</b>yes', "yes"),
        ('<td style="font-size:0px"><p style="font-size:14px">shown</p></td>', "shown"),  # how MJML lays out
        ("yes&#847; &zwnj; &nbsp; &#8199;<br>&zwnj; &zwnj;<br>", "yes \u200c"),
        ("<pre>a\n  b</pre>", "a\nb"),
        ('<div style="white-space:pre-wrap">a\nb</div>', "a\nb"),
        ("a<blockquote>b<br>c<blockquote>d</blockquote></blockquote>e", "a\n> b\n> c\n>> d\ne"),
        ('<blockquote type="cite">a</blockquote>', "> a"),
        ('<blockquote style="margin:0 0 0 40px;border:none;padding:0px">indented</blockquote>', "indented"),
        ('me<div class="gmail_signature">Marie</div>', "me\n--\nMarie"),
        ('me<div id="divRplyFwdMsg"><b>Von:</b> x</div>', "me\n-----Original Message-----\nVon: x"),
        ("\ue000a\ue001\x00b", "ab"),
        ("<img src=x>", ""),
        ("<!-- nothing -->", ""),
        ("", ""),
    ],
)
def test_to_text(html: str, text: str) -> None:
    """Layout is dropped, lines and paragraphs stay, quotes and signatures are marked, hidden text is gone."""
    assert to_text(html) == text


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 300 + "x",
        "<b>" * 50_000,
        "<p>x" * 20_001,
    ],
)
def test_too_much_markup_is_refused(html: str) -> None:
    """libxml2 would silently return nothing at a depth of 256."""
    with pytest.raises(Refusal) as caught:
        to_text(html)
    assert caught.value.problems[0].reason == "mail.too_complex"


@pytest.mark.parametrize(
    "unit", ["<a ", "<!--", "<![", "&", "<table><tr>", "</p>", "<p x=", "\xa0", "]]>", "<?"]
)
def test_broken_markup_never_raises(unit: str) -> None:
    """256 kB of one broken thing is text, nothing, or a refusal."""
    try:
        assert isinstance(to_text(unit * (256 * 1024 // len(unit))), str)
    except Refusal as e:
        assert e.problems[0].reason == "mail.too_complex"
