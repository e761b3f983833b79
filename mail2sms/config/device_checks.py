"""What the options of `devices` say of one another, and of senders, teams and listeners."""

from __future__ import annotations

from collections.abc import Iterator

from mail2sms.addresses import canonical
from mail2sms.config.devices import DeviceOption, is_fiction, is_phone
from mail2sms.config.fields import did_you_mean
from mail2sms.config.schema import Settings
from mail2sms.options import Network
from mail2sms.rules._base import NUMBER
from mail2sms.yamltext import Document, Fault, Steps


def devices(settings: Settings, document: Document) -> Iterator[Fault]:
    """What is wrong with each device alone, and who is written to."""
    for name, device in settings.devices.items():
        steps: Steps = ("devices", name)
        for at, message, hint in (*_proof(device), *_times(device)):
            yield _fault(document, (*steps, *at), message, hint)
        if device.max_parts and device.max_parts > settings.max_parts:
            message = f"max_parts of all is {settings.max_parts}: no SMS may be longer"
            yield _fault(document, (*steps, "max_parts"), message, f"at most {settings.max_parts}")
        yield from _recipients(settings, document, name, device)


def _proof(device: DeviceOption) -> Iterator[tuple[Steps, str, str]]:
    if not device.login and not device.network:
        message = "a From address proves nothing" if device.pattern else "nothing says how it is known"
        yield (), message, "add network: 10.1.0.40, or login: and password:"
    if device.login and device.password is None:
        yield ("login",), "a login without a password", "add password: file:/PATH (an argon2id hash)"
    if device.password is not None and not device.login:
        yield ("password",), "a password without a login", "add login: NAME"
    if device.pattern and not device.network:
        yield ("from",), '"from" tells the devices of one network apart', "add network:, or leave from: out"
    for i, network in enumerate(device.network):
        if network.prefixlen == 0:
            yield ("network", i), f"{network} is the whole internet: that proves nothing", ""


def _times(device: DeviceOption) -> Iterator[tuple[Steps, str, str]]:
    if device.expires is not None and device.expires <= (device.wait or 0):
        yield ("expires",), '"expires" is not longer than "wait": nothing would be sent in time', ""
    if device.silent_after is not None and device.replies_to is None:
        yield ("silent_after",), "nobody would be told", "add replies_to: it@acme.example"


def _recipients(settings: Settings, document: Document, name: str, device: DeviceOption) -> Iterator[Fault]:
    teams = settings.all_teams()
    users = settings.all_users()
    for i, to in enumerate(device.to):
        steps: Steps = ("devices", name, "to", i)
        if is_fiction(to) and settings.mode == "live":
            message = "this is an example number: no phone has it"
            yield _fault(document, steps, message, "refused in mode: live", is_warning=True)
        if is_phone(to):
            continue
        if to not in teams:
            yield _fault(document, steps, f'there is no team "{to}"', did_you_mean(to, teams))
        elif not teams[to].phones and not any(users[m].number for m in teams[to].members if m in users):
            yield _fault(document, steps, f'nobody in the team "{to}" has a phone', f"add teams.{to}.phones")


def names(settings: Settings, document: Document) -> Iterator[Fault]:
    """Devices have mailboxes and logins that are nobody else's."""
    logins: dict[str, str] = {canonical(address): address for address in settings.users}
    for name, device in settings.devices.items():
        taken = "a team" if name in settings.teams else ""
        taken = "the template_mailbox" if name == settings.template_mailbox else taken
        if taken:
            message = f'"{name}" is {taken}: a device needs a mailbox of its own'
            yield _fault(document, ("devices", name), message, "rename it", is_key=True)
        known = logins.setdefault(device.login, name) if device.login else name
        if known != name:
            message = f'"{known}" logs in with this name'
            yield _fault(document, ("devices", name, "login"), message, "give each its own")


def networks(settings: Settings, document: Document) -> Iterator[Fault]:
    """Mail that would be taken for a device's, and is another's."""
    seen: list[tuple[str, Network]] = []
    for name, device in settings.devices.items():
        if device.pattern:
            continue
        for i, network in enumerate(device.network):
            steps: Steps = ("devices", name, "network", i)
            other = next((known for known, each in seen if _meet(each, network)), "")
            if other:
                message = f'mail from there is taken for that of "{other}"'
                yield _fault(document, steps, message, "add from: to tell them apart")
            elif any(_meet(network, each) for rule in settings.senders for each in rule.network):
                message = "senders are believed there too: all their mail would be taken for the device's"
                yield _fault(document, steps, message, "add from: to tell them apart", is_warning=True)
        seen += [(name, network) for network in device.network]


def _meet(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def logins(settings: Settings, document: Document) -> Iterator[Fault]:
    """Whether there is a listener that a device can log in at."""
    doors = settings.listen.mail()
    if any(door.login != "no" and (door.tls != "off" or name == "devices") for name, door in doors.items()):
        return
    for name, device in settings.devices.items():
        if device.login:
            hint = 'add listen.devices: {address: "127.0.0.1:2525"}'
            yield _fault(document, ("devices", name, "login"), "no listener takes logins", hint)


def sender_ids(settings: Settings, document: Document) -> Iterator[Fault]:
    """Whose every mail would be refused since nothing says what phones show."""
    wishes = settings.sender_ids
    default = wishes.get("default", NUMBER)
    bare = [country for country in settings.countries if {wishes.get(country, default), default} == {NUMBER}]
    for name, device in settings.devices.items():
        if bare and not device.sender_ids:
            message = f"it has no sender ID for {', '.join(bare)}: what it writes would be refused"
            yield _fault(
                document, ("devices", name), message, "add sender_ids:", is_warning=True, is_key=True
            )


def _fault(
    document: Document,
    steps: Steps,
    message: str,
    hint: str = "",
    *,
    is_warning: bool = False,
    is_key: bool = False,
) -> Fault:
    place = document.key_place(steps) if is_key or len(steps) == 2 else document.place(steps)
    return Fault(message=message, place=place, hint=hint, steps=steps, is_warning=is_warning)
