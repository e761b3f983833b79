"""Pictures of mails, from the bytes that programs send to what is on disk: which go, and how what cannot is told."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from mail2sms.accept import Accept
from mail2sms.carriers._picture import sunset
from mail2sms.config import sending
from mail2sms.intake import mime
from mail2sms.intake.envelope import Envelope
from mail2sms.intake.receive import Receiver
from mail2sms.intake.sandbox import Sandbox
from mail2sms.media import Links, Mms
from mail2sms.model import Msisdn
from mail2sms.pictures import Pictures as Worker
from mail2sms.routing import Route
from mail2sms.rules._base import Pictures, Policy
from mail2sms.store import MessageView, Search, Store, views
from mail2sms.store.media import read_picture, read_pictures
from tests.fakes import ACCOUNT
from tests.test_receive import PROGRAM, RELAY, _desk_of_france, _identity

US, FR = Msisdn("+12025550123"), Msisdn("+33639981234")
LINKS = Links(base="https://sms.acme.example", secret=b"s" * 32, valid_ms=14 * 86_400_000)
POLICY = Policy(
    countries=frozenset({"US", "FR"}),
    sender_ids={"default": "number"},
    destinations=sending.known({}),
    pictures=Pictures(otherwise="link", carriers={"sim": Mms()}, has_links=True, limit_bytes=600_000),
)
PHOTO = sunset()
_MIXED = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await Store.open(f"sqlite:///{tmp_path}/x.db")
    yield opened
    await opened.close()


class Bridge:
    """The reading side, with what becomes of pictures that cannot go as MMS."""

    def __init__(self, store: Store, otherwise: str) -> None:
        self.store, self.sandbox = store, Sandbox()
        policy = replace(POLICY, pictures=replace(POLICY.pictures, otherwise=otherwise))
        accept = Accept(store, policy, (Route(to=("any",), via=("sim",)),), 3_600_000, LINKS)
        self.receiver = Receiver(
            _desk_of_france(), _identity(), accept, store, self.sandbox, pictures=Worker()
        )

    async def take(self, mail: EmailMessage | bytes, *phones: Msisdn, is_program: bool = True) -> str:
        """Return the reply to a mail."""
        raw = mail if isinstance(mail, bytes) else mail.as_bytes()
        rcpts = tuple(f"{phone[1:]}@{ACCOUNT}" for phone in phones)
        client = PROGRAM if is_program else RELAY
        envelope = Envelope(client=client, mail_from="marie@acme.example", rcpts=rcpts, content=raw)
        (reply,) = await self.receiver.mail(envelope)
        return reply

    async def messages(self) -> list[MessageView]:
        """Return what is stored."""
        return await self.store.read(views.find, ACCOUNT, Search())


@pytest.fixture
async def bridge(store: Store, request: pytest.FixtureRequest) -> AsyncIterator[Bridge]:
    """With `mms: link`, or what the test says."""
    made = Bridge(store, getattr(request, "param", "link"))
    yield made
    await made.sandbox.close()


def mail(*photos: bytes, text: str | None = "Look", kind: str = "png") -> EmailMessage:
    """Return a mail with photos attached; without a text there is no part for it."""
    made = EmailMessage(policy=SMTP)
    made["From"], made["Subject"] = "marie@acme.example", "Photo"
    if text is not None:
        made.set_content(text)
    for n, photo in enumerate(photos, start=1):
        made.add_attachment(photo, maintype="image", subtype=kind, filename=f"IMG_{n}.{kind}")
    return made


def outlook() -> EmailMessage:
    """Return a page with the logo of a signature in it, and a photo beside the page."""
    made = mail(text="Look")
    made.add_alternative('<p>Look</p><img src="cid:logo@acme">', subtype="html")
    page = made.get_payload()[1]  # type: ignore[index]
    page.add_related(PHOTO, "image", "png", cid="<logo@acme>", filename="image001.png")  # type: ignore[union-attr]
    made.add_attachment(PHOTO, maintype="image", subtype="png", filename="IMG_1.png")
    return made


async def test_a_photo_is_on_disk_with_its_message(bridge: Bridge) -> None:
    """When the 250 is written, drawn anew; and it is no longer left out."""
    assert (await bridge.take(mail(PHOTO), US)).startswith("250 2.0.0 m-")
    (message,) = await bridge.messages()
    assert (message.media, message.text, message.parts, message.left_out) == ("mms", "Look", 1, ())
    stored = await bridge.store.read(read_picture, message.submission, 1)
    assert stored is not None
    assert stored.content.startswith(b"\x89PNG")


async def test_one_mail_to_both(bridge: Bridge) -> None:
    """Each phone gets what it can."""
    await bridge.take(mail(PHOTO, PHOTO), US, FR)
    by_media = {message.media: message for message in await bridge.messages()}
    assert by_media["mms"].text == "Look"
    assert by_media["link"].text.startswith("Look\nhttps://sms.acme.example/p/")
    kinds = await bridge.store.read(read_pictures, by_media["mms"].submission)
    assert kinds == ("image/png", "image/png")


@pytest.mark.parametrize("text", [None, "", "-- \nSent from my phone"], ids=["no part", "blank", "signature"])
async def test_a_photo_says_it_all(bridge: Bridge, text: str | None) -> None:
    """Without a text, or with nothing but a signature."""
    assert (await bridge.take(mail(PHOTO, text=text), US)).startswith("250")
    (message,) = await bridge.messages()
    assert (message.media, message.text) == ("mms", "")


async def test_the_logo_of_a_signature_stays_at_home(bridge: Bridge) -> None:
    """What belongs to the page is no picture that somebody sends."""
    await bridge.take(outlook(), US)
    (message,) = await bridge.messages()
    assert len(await bridge.store.read(read_pictures, message.submission)) == 1
    letter = mime.read(outlook().as_bytes(), html=lambda html: "Look")
    assert [(a.name, a.is_picture) for a in letter.attachments] == [
        ("image001.png", False),
        ("IMG_1.png", True),
    ]


@pytest.mark.parametrize("bridge", ["link", "refuse"], indirect=True)
@pytest.mark.parametrize(
    ("photos", "reason"),
    [
        ((b"no picture",), 'the picture "IMG_1.png" cannot be read'),
        ((PHOTO, PHOTO[:200]), 'the picture "IMG_2.png" cannot be read'),
        ((PHOTO,) * 11, "the mail has 11 pictures"),
    ],
    ids=["none", "half", "eleven"],
)
async def test_what_is_wrong_is_told_at_once(bridge: Bridge, photos: tuple[bytes, ...], reason: str) -> None:
    """And nothing of the mail goes."""
    reply = await bridge.take(mail(*photos), US)
    assert reply.startswith("550 5.6.0 ")
    assert reason in reply
    assert await bridge.messages() == []


@pytest.mark.parametrize("bridge", ["ignore"], indirect=True)
async def test_what_is_ignored_stops_nothing(bridge: Bridge) -> None:
    """A phone in France gets its text as ever; of several pictures those go that can be read."""
    await bridge.take(mail(b"no picture", PHOTO), US)
    await bridge.take(mail(b"no picture"), FR)
    us, fr = sorted(await bridge.messages(), key=lambda message: message.to)
    assert (us.media, fr.media, fr.text) == ("mms", "", "Look")
    assert len(await bridge.store.read(read_pictures, us.submission)) == 1
    assert [left.kind for left in fr.left_out] == ["attachment"]


@pytest.mark.parametrize("bridge", ["ignore", "off"], indirect=True)
async def test_a_photo_that_cannot_go_is_no_text(bridge: Bridge) -> None:
    """As it always was."""
    reply = await bridge.take(mail(PHOTO, text=None), FR)
    assert reply == "550 5.6.0 the mail has no readable text"


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
_MOST_COMPATIBLE = (
    'the picture "IMG_1.heic" is in the iPhone\'s own format (HEIC), which many phones do not show'
)


@pytest.mark.parametrize(
    ("bridge", "text"), [("link", "Look"), ("refuse", "Look"), ("ignore", None)], indirect=["bridge"]
)
async def test_a_photo_as_iphones_store_it_is_refused_with_what_to_do(
    bridge: Bridge, text: str | None
) -> None:
    """Where pictures that cannot go are ignored, if nothing else would be left."""
    reply = await bridge.take(mail(HEIC, kind="heic", text=text), US)
    assert reply.startswith(f"550 5.6.0 {_MOST_COMPATIBLE}")
    assert await bridge.messages() == []


@pytest.mark.parametrize("bridge", ["ignore"], indirect=True)
async def test_a_text_beside_it_goes(bridge: Bridge) -> None:
    """There."""
    assert (await bridge.take(mail(HEIC, kind="heic"), US)).startswith("250 2.0.0 m-")
    (message,) = await bridge.messages()
    assert (message.media, [left.kind for left in message.left_out]) == ("", ["attachment"])


_VIDEO, _NO_TEXT, _TAKEN = (
    '550 5.6.0 videos and sounds cannot be sent to phones from here ("IMG_2.MOV")',
    "550 5.6.0 the mail has no",
    "250",
)


@pytest.mark.parametrize(
    ("bridge", "text", "photos", "told"),
    [
        ("off", None, 0, _VIDEO),
        ("ignore", None, 0, _VIDEO),
        ("link", None, 0, _VIDEO),
        ("refuse", None, 0, _VIDEO),
        ("off", "Look", 0, _TAKEN),
        ("ignore", "Look", 0, _TAKEN),
        ("link", "Look", 0, _VIDEO),
        ("refuse", "Look", 0, _VIDEO),
        ("off", None, 1, _NO_TEXT),
        ("ignore", None, 1, _TAKEN),
        ("link", None, 1, _VIDEO),
        ("off", "Look", 1, _TAKEN),
        ("ignore", "Look", 1, _TAKEN),
        ("refuse", "Look", 1, _VIDEO),
    ],
    indirect=["bridge"],
)
async def test_videos_and_sounds(bridge: Bridge, text: str | None, photos: int, told: str) -> None:
    """Cannot go: that is told where nothing else would be left, and where what cannot go is not ignored."""
    made = mail(*[PHOTO] * photos, text=text)
    made.add_attachment(b"\0\0\0\x14ftypqt  ", maintype="video", subtype="quicktime", filename="IMG_2.MOV")
    assert (await bridge.take(made, US)).startswith(told)


@pytest.mark.parametrize(
    ("head", "is_recording"),
    [
        ("video/mp4", True),
        ("audio/amr; name=x.amr", True),
        ("application/octet-stream; name=CLIP.MP4", True),
        ("application/octet-stream; name=x.pdf", False),
        ("application/pdf; name=x.mp4", False),
        ("image/jpeg", False),
    ],
)
def test_what_says_that_it_is_a_recording(head: str, is_recording: bool) -> None:
    """As with pictures."""
    parts = f"--b\r\n\r\nLook\r\n--b\r\nContent-Type: {head}\r\n\r\nx\r\n--b--"
    (attachment,) = mime.read(f"{_MIXED}{parts}".encode(), html=None).attachments
    assert attachment.is_recording == is_recording


@pytest.mark.parametrize("bridge", ["refuse"], indirect=True)
async def test_what_is_refused_names_the_phone(bridge: Bridge) -> None:
    """The others get it."""
    reply = await bridge.take(mail(PHOTO), US, FR)
    assert reply.startswith("250")
    assert [message.to for message in await bridge.messages()] == [US]
    assert (await bridge.take(mail(PHOTO), FR)).startswith(
        "550 5.6.0 pictures cannot be sent to phones in FR"
    )


@pytest.mark.parametrize(
    ("head", "is_picture"),
    [
        ("image/jpeg", True),
        ("application/octet-stream; name=IMG_1.JPG", True),
        ("application/octet-stream; name=IMG_1.exe", False),
        ("application/pdf; name=IMG_1.jpg", False),
        ("image/svg+xml", True),  # and then refused: nothing draws it
    ],
)
def test_what_says_that_it_is_a_picture(head: str, is_picture: bool) -> None:
    """By its type; some programs say nothing but its name."""
    parts = f"--b\r\n\r\nLook\r\n--b\r\nContent-Type: {head}\r\n\r\nx\r\n--b--"
    (attachment,) = mime.read(f"{_MIXED}{parts}".encode(), html=None).attachments
    assert attachment.is_picture == is_picture


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit", "BASE64 ", "uuencode"])
async def test_an_attachment_is_decoded_as_it_says(bridge: Bridge, encoding: str) -> None:
    """Whatever a program chose; nothing of it is decoded on the event loop."""
    body = {
        "base64": base64.encodebytes(PHOTO),
        "quoted-printable": "=\r\n".join(f"={byte:02X}" for byte in PHOTO).encode(),
    }.get(encoding.lower().strip(), PHOTO)
    head = f"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    raw = f"From: marie@acme.example\r\n{_MIXED}{head}".encode() + body + b"\r\n--b--"
    assert (await bridge.take(raw, US)).startswith("250")
    (message,) = await bridge.messages()
    assert message.media == "mms"
