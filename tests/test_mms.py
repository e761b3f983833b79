"""How the pictures of a mail go to each phone: by its country, the sender, the carriers of its route, the setting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mail2sms.alarm import Alarm, Storm
from mail2sms.config import sending
from mail2sms.errors import Refusal
from mail2sms.media import LINK, MMS, Links, Mms
from mail2sms.model import Msisdn, Photo, SenderId
from mail2sms.money import read
from mail2sms.routing import Route
from mail2sms.rules import media
from mail2sms.rules._base import Pictures, Policy
from mail2sms.verdict import Judge, Verdict
from tests.fakes import submission

US, CA, FR = Msisdn("+12025550123"), Msisdn("+16135550123"), Msisdn("+33639981234")
PHOTO = Photo(name="photo-1.jpg", media_type="image/jpeg", content=b"\xff\xd8\xff")
LINKS = Links(base="https://sms.acme.example", secret=b"s" * 32, valid_ms=14 * 86_400_000)
ROUTES = (Route(to=("any",), via=("plain", "one", "many")),)


def policy(otherwise: str = "link", **changes: object) -> Policy:
    """Return what is allowed: one carrier takes no MMS, one a picture in each, one ten."""
    pictures = Pictures(
        otherwise=otherwise,
        carriers={"one": Mms(most=1), "many": Mms()},
        has_links=True,
        limit_bytes=600_000,
        prices={"one": {"US": read("0.02 USD")}},
    )
    values = {
        "countries": frozenset({"US", "CA", "FR"}),
        "sender_ids": {"default": "number", "FR": "number"},
        "destinations": sending.known({}),
        "pictures": pictures,
        "prices": {name: {"any": read("0.01 USD")} for name in ("plain", "one", "many")},
    }
    return Policy(**{**values, **changes})  # type: ignore[arg-type]


def judge(
    count: int, *phones: Msisdn, rules: Policy | None = None, text: str = "Bonjour", **changes: object
) -> Verdict:
    """Return the verdict on a mail with so many pictures."""
    asked = submission(
        "m-1QVFJB3RBZV70NHG", recipients=phones, text=text, pictures=(PHOTO,) * count, **changes
    )
    return Judge(rules or policy(), ROUTES, 1000, LINKS).judge([asked])


def test_each_phone_gets_what_it_can() -> None:
    """The US and Canada MMS by the carriers that take it, in their order; others a link in the text."""
    us, ca, fr = judge(1, US, CA, FR).messages
    assert (us.media, us.route, us.text, us.segments) == (MMS, ("one", "many"), "Bonjour", 1)
    assert (ca.media, ca.route) == (MMS, ("one", "many"))
    assert (fr.media, fr.route) == (LINK, ("plain", "one", "many"))
    assert fr.text.startswith("Bonjour\nhttps://sms.acme.example/p/1QVFJB3RBZV70NHG/")


def test_a_carrier_gets_no_more_pictures_than_it_takes() -> None:
    """The others of the route remain."""
    (us,) = judge(2, US).messages
    assert us.route == ("many",)


def test_an_mms_costs_what_an_mms_costs() -> None:
    """And nobody knows what it costs by a carrier without such a price."""
    (us,) = judge(1, US).messages
    assert us.costs == (read("0.02 USD"), None)


def test_a_mail_without_pictures_goes_as_ever() -> None:
    """By all carriers, at their prices."""
    us, fr = judge(0, US, FR).messages
    assert (us.media, fr.media, us.route) == ("", "", ("plain", "one", "many"))
    assert us.cost == read("0.01 USD")


def test_the_link_is_counted() -> None:
    """It may make two parts of one, or one too many."""
    assert judge(1, FR, text="a" * 100).messages[0].segments == 2
    verdict = judge(1, US, FR, text="a" * 600)
    assert [mt.msisdn for mt in verdict.messages] == [US]
    assert [phone.problem.reason for phone in verdict.refused] == ["text.too_long"]
    assert verdict.refused[0].problem.facts["parts"] == "5"


def test_pictures_need_no_text() -> None:
    """An MMS of them alone, or a link alone."""
    us, fr = judge(1, US, FR, text="").messages
    assert (us.media, us.text) == (MMS, "")
    assert fr.text.startswith("https://")


@pytest.mark.parametrize(
    ("phone", "count", "changes", "reason"),
    [
        (FR, 1, {}, "media.country"),
        (US, 11, {}, "media.carrier"),
        (US, 1, {"pictures": replace(policy("refuse").pictures, carriers={})}, "media.carrier"),
        (US, 1, {"pictures": replace(policy("refuse").pictures, has_links=False)}, "media.carrier"),
    ],
)
def test_what_cannot_go_is_refused(
    phone: Msisdn, count: int, changes: dict[str, object], reason: str
) -> None:
    """With `mms: refuse`, and each tells why."""
    verdict = judge(count, phone, rules=policy("refuse", **changes))
    assert verdict.messages == ()
    assert [each.problem.reason for each in verdict.refused] == [reason]


def test_a_name_sends_no_pictures() -> None:
    """Networks there take MMS from numbers alone."""
    with pytest.raises(Refusal) as refused:
        media.choose(1, SenderId("ACME"), "US", ("many",), policy("refuse"))
    assert refused.value.problems[0].reason == "media.sender"


def test_one_phone_that_cannot_stops_no_other() -> None:
    """Nothing about one depends on another."""
    verdict = judge(1, US, FR, rules=policy("refuse"))
    assert [mt.msisdn for mt in verdict.messages] == [US]


def test_what_cannot_go_is_left_out() -> None:
    """With `mms: ignore`: the text goes alone; without a text nothing is left."""
    us, fr = judge(1, US, FR, rules=policy("ignore")).messages
    assert (us.media, fr.media, fr.text) == (MMS, "", "Bonjour")
    verdict = judge(1, US, FR, rules=policy("ignore"), text="")
    assert [mt.msisdn for mt in verdict.messages] == [US]
    assert [each.problem.reason for each in verdict.refused] == ["text.empty"]


@pytest.mark.parametrize(
    ("otherwise", "regions", "may"),
    [
        ("off", ["US"], False),
        ("ignore", ["FR"], False),
        ("ignore", ["FR", "US"], True),
        ("link", ["FR"], True),
        ("refuse", ["FR"], True),
    ],
)
def test_nobody_looks_at_pictures_that_can_go_nowhere(otherwise: str, regions: list[str], may: bool) -> None:
    """Decoding them costs more than all the rest of a mail."""
    assert media.may_go(regions, policy(otherwise)) == may


@pytest.mark.parametrize(
    ("wish", "phone", "count", "way"),
    [
        ("ignore", US, 1, MMS),
        ("ignore", FR, 1, ""),
        ("ignore", US, 11, ""),
        ("link", US, 1, MMS),
        ("link", FR, 1, LINK),
        ("link", US, 11, LINK),
    ],
)
def test_a_device_has_its_own_wish(wish: str, phone: Msisdn, count: int, way: str) -> None:
    """Whatever holds for people's; and its alarm is never refused for it."""
    rules = policy("refuse")
    rules = replace(rules, pictures=replace(rules.pictures, devices={"cam": wish}))
    alarm = Alarm(device="cam", storm=Storm(), max_parts=4)
    (mt,) = judge(count, phone, rules=rules, alarm=alarm).messages
    assert mt.media == way
    assert media.may_go(["US"], rules, "cam")
    assert not media.may_go(["US"], rules, "another")


def test_an_operator_knows_better() -> None:
    """Where the own carriers reach phones by MMS."""
    known = {**sending.known({}), "FR": replace(sending.known({})["FR"], mms="yes")}
    assert judge(1, FR, rules=policy(destinations=known)).messages[0].media == MMS
