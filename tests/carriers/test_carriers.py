"""Every carrier against its cases: a carrier is one module and one case file, and this runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mail2sms import carriers
from mail2sms.carriers._base import Carrier
from mail2sms.errors import Refused, SendFailed, Unavailable, Uncertain
from mail2sms.model import Msisdn, Part, SenderId, Taken

FOLDER = Path(__file__).with_name("cases")
KINDS = {"taken": Taken, "unavailable": Unavailable, "refused": Refused, "uncertain": Uncertain}


def cases(kind: str) -> list[Any]:
    """Return the cases of all carriers: `sends` or `events`."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for case in document.get(kind, []):
            name = f"{path.stem}: {case['name']}"
            found.append(pytest.param(path.stem, document.get("options", {}), case, id=name))
    return found


def carrier(type_name: str, options: dict[str, Any], folder: Path) -> Carrier:
    """Build a carrier as the daemon does."""
    module = carriers.load(type_name)
    built = module.build("under-test", module.Options(type=type_name, **options), folder)
    assert isinstance(built, Carrier)
    return built


def test_every_carrier_has_a_case_file_and_every_case_file_a_carrier() -> None:
    """Adding a carrier is these two files and nothing else."""
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(carriers.types())


@pytest.mark.parametrize(("type_name", "options", "case"), cases("sends"))
async def test_sending(tmp_path: Path, type_name: str, options: dict[str, Any], case: dict[str, Any]) -> None:
    """One part in, one outcome out."""
    part = Part(
        message="m-1",
        index=0,
        count=1,
        attempt_id="a-1",
        attempt=case.get("attempt", 1),
        msisdn=Msisdn(case["to"]),
        sender_id=SenderId(case.get("from", "+33639980101")),
        encoding="gsm7",
        segments=1,
        text=case.get("text", "Bonjour"),
    )
    under_test = carrier(type_name, options, tmp_path)

    async def record(_: object) -> None:
        """Forget."""

    await under_test.start(record)
    outcome: Taken | SendFailed
    try:
        outcome = await under_test.send(part)
    except SendFailed as failure:
        outcome = failure
    await under_test.stop()
    assert type(outcome) is KINDS[case["outcome"]]
    for name in ("code", "retry_after_s", "same_carrier"):
        if name in case:
            assert getattr(outcome, name) == case[name]


@pytest.mark.parametrize(("type_name", "options", "case"), cases("events"))
def test_events(tmp_path: Path, type_name: str, options: dict[str, Any], case: dict[str, Any]) -> None:
    """One webhook request in, its events out; one that proves nothing is refused."""
    under_test = carrier(type_name, options, tmp_path)
    headers = case.get("headers", {})
    if case.get("refused"):
        with pytest.raises(PermissionError):
            under_test.events(headers, case["body"].encode(), case.get("query", ""))
    else:
        events = under_test.events(headers, case["body"].encode(), case.get("query", ""))
        assert [repr(event) for event in events] == case["events"]
