"""Why a message shows the sender ID that it shows, and where in the configuration that stands. Pure."""

from __future__ import annotations

from mail2sms.addresses import canonical
from mail2sms.config import Settings
from mail2sms.model import MtMessage, Submission
from mail2sms.rules import sender_ids
from mail2sms.rules._base import NUMBER, Policy

Steps = tuple[str, ...]
_DEFAULT = ("sender_ids, default", ("sender_ids", "default"))


def why_sender_id(
    mt: MtMessage, submission: Submission, settings: Settings, policy: Policy
) -> tuple[str, Steps]:
    """Return why, and the way to the option that says so; no way where none does."""
    wishes, alarm = settings.sender_ids, submission.alarm
    if submission.conversation is not None:
        return "that the phone wrote to", ()
    if submission.sender_id:
        return "as the mail says", ()
    if wishes.get(mt.region) == mt.sender_id:
        return f"sender_ids of {mt.region}", ("sender_ids", mt.region)
    if alarm is not None:
        is_own = mt.sender_id in settings.devices[alarm.device].sender_ids
        return ("the device's own", ("devices", alarm.device, "sender_ids")) if is_own else _DEFAULT
    written = next((a for a in settings.users if canonical(a) == submission.writer.address), "")
    if str(submission.writer.number) == mt.sender_id:
        return "the writer's own number", ("users", written, "number")
    owned = policy.owned.get(submission.writer.address, ())
    if wishes.get("default") != NUMBER and mt.sender_id not in owned:
        return _DEFAULT
    if sender_ids.is_name(mt.sender_id):
        return "the writer's or a team's own name", ("users", written, "sender_ids")
    team = next((n for n, t in settings.teams.items() if str(t.number) == mt.sender_id), "")
    return f"of the team {team}", ("teams", team, "number")
