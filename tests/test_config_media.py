"""What `check` says of pictures, and what the rules are told: where links lead, what fits, what carriers take."""

from __future__ import annotations

import pytest

from mail2sms import config
from mail2sms.config import media
from mail2sms.rules._base import Pictures
from tests.config_cases import PATH, found, whole

_HTTPS = 'listen: {smtp: {address: "127.0.0.1:2525"}, web: {address: "127.0.0.1:80", url: "https://sms.acme.example"}}\n'
_MAIL_ALONE = 'listen: {smtp: {address: "127.0.0.1:2525"}}\n'
_LARGE = "limits: {size: 10MB}\n"
_CARRIERS = """\
carriers:
  large: {type: twilio, account: AC1, token: env:T, mms_price: {US: 0.02 USD}}
  small: {type: clicksend, user: u, key: env:K}
  none: {type: wildix, api: "https://pbx.acme.example", user: u, password: env:P}
routes: [{to: any, via: large}]
"""
_NO_MMS = """\
carriers: {none: {type: wildix, api: "https://pbx.acme.example", user: u, password: env:P}}
routes: [{to: any, via: none}]
"""


def _pictures(text: str) -> Pictures:
    return media.pictures(config.load(PATH, text=whole(text)))


@pytest.mark.parametrize(
    ("snippet", "errors", "warnings"),
    [
        ("mms: ignore\n", 0, 0),
        (f"mms: link\n{_HTTPS}{_LARGE}", 0, 0),
        (f"mms: link\n{_LARGE}", 0, 0),  # to try it, on this machine
        (f"mode: live\nmms: link\n{_LARGE}", 1, 0),
        (f"mms: link\n{_MAIL_ALONE}{_LARGE}", 1, 0),
        (f"mode: live\nmms: refuse\n{_LARGE}", 0, 1),
        (f"mms: link\n{_HTTPS}", 0, 1),
        ("mms: yes\n", 1, 0),
        ("media: {links: 14}\n", 1, 0),
        (
            f"carriers: {{sim: {{type: simulated, price: {{US: 1 EUR}}, mms_price: {{US: 1 USD}}}}}}\n{_HTTPS}",
            1,
            0,
        ),
    ],
)
def test_what_is_found(snippet: str, errors: int, warnings: int) -> None:
    """Links that lead nowhere are an error; carriers that could fetch nothing, and mails too small, are told."""
    about = ("pictures", "photos", "mms", "ignore", "do not add up", "duration", "links")
    told = {
        level: [each for each in found(whole(snippet), level) if any(a in each for a in about)]
        for level in ("error", "warning")
    }
    assert [len(told["error"]), len(told["warning"])] == [errors, warnings], told


_CAM = 'devices: {cam: {network: 10.1.0.1, to: "+12025550123", pictures: '
_US = "countries: [FR, US]\n"


@pytest.mark.parametrize(
    ("snippet", "errors", "warnings"),
    [
        (f"{_CAM}off}}}}\n", [], []),
        (f"{_CAM}mms}}}}\n{_US}{_LARGE}", [], []),
        (f"{_CAM}link}}}}\n{_LARGE}", [], []),
        (f"{_CAM}mms}}}}\n{_LARGE}", [], ["no country of `countries` takes MMS"]),
        (f"{_CAM}link}}}}\n{_US}", [], ["a mail larger than limits.size is refused"]),
        (f"{_CAM}mms}}}}\nmms: off\n{_US}{_LARGE}", ["mms: off lets no picture go"], []),
        (f"{_CAM}link}}}}\nmode: live\n{_LARGE}", ["pictures are served by listen.web"], []),
        (f"{_CAM}mms}}}}\n{_US}{_LARGE}{_HTTPS}{_NO_MMS}", [], ["no carrier sends MMS"]),
    ],
)
def test_what_is_found_of_devices(snippet: str, errors: list[str], warnings: list[str]) -> None:
    """Pictures that would never go, and mails too small for them."""
    about = ("picture", "MMS", "mail larger")
    for level, told in (("error", errors), ("warning", warnings)):
        all_found = [each for each in found(whole(snippet), level) if any(a in each for a in about)]
        assert [each for each in all_found if not any(one in each for one in told)] == []
        assert len(all_found) == len(told)


def test_devices_have_wishes_of_their_own() -> None:
    """In the words of the rules; who says nothing has none."""
    wishes = (
        "a: {network: 10.1.0.1",
        "b: {network: 10.1.0.2, pictures: mms",
        "c: {network: 10.1.0.3, pictures: link",
    )
    pictures = _pictures(f"devices: {{{'}, '.join(wishes)}}}}}\n")
    assert pictures.devices == {"b": "ignore", "c": "link"}
    assert [pictures.otherwise_of(name) for name in ("a", "b", "c", "")] == [
        "off",
        "ignore",
        "link",
        "ignore",
    ]


def test_what_the_rules_are_told() -> None:
    """By the carriers' types: the limit is that of the smallest."""
    pictures = _pictures(f"{_CARRIERS}mms: refuse\n{_HTTPS}")
    assert {name: (mms.most, mms.limit_bytes) for name, mms in pictures.carriers.items()} == {
        "large": (10, 600_000),
        "small": (1, 250_000),
    }
    assert (pictures.otherwise, pictures.has_links, pictures.limit_bytes) == ("refuse", True, 250_000)
    assert str(pictures.prices["large"]["US"]) == "0.02 USD"


def test_without_https_nobody_can_fetch_them() -> None:
    """But for the simulated phones of this machine."""
    assert _pictures("mms: link\n").has_links
    assert not _pictures(f"mode: live\n{_CARRIERS}").has_links
    assert not _pictures(_MAIL_ALONE).has_links
