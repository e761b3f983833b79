"""SMPP 3.4: binds to an SMSC, submits parts, takes receipts and texts from phones."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from mail2sms.carriers import _smpp_inbound as inbound
from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers import _smpp_receipt as receipts
from mail2sms.carriers import _smpp_status as statuses
from mail2sms.carriers._base import Abilities, Carrier, Record
from mail2sms.carriers._pace import PAUSE_S, Pace
from mail2sms.carriers._smpp_binds import Account, Binds, Role, Unreachable, open_session
from mail2sms.carriers._smpp_options import Options, tls_context
from mail2sms.carriers._smpp_pdu import Command, Short
from mail2sms.carriers._smpp_read import Malformed, read_message_id
from mail2sms.carriers._smpp_session import Session
from mail2sms.carriers._smpp_status import Kind
from mail2sms.carriers._smpp_submit import Writer
from mail2sms.carriers._smpp_window import Response, Terms, Unsent
from mail2sms.clock import now_ms
from mail2sms.errors import BadOption, Refused, SendFailed, StoreUnavailable, Unavailable
from mail2sms.heard import LateAnswer, Sent
from mail2sms.model import Part, Taken

__all__ = ["Options", "Smpp", "build"]

_AGAIN_S = 1.0
_NOT_LET_IN = ("0x0D", "0x0E")  # the bind failed, the password is wrong
_SHORTER = (
    "SMPP 3.4 has room for 8 characters, and some SMSCs cut a longer password: ask the provider for one"
)
_SPELLINGS = 100_000  # ids that are remembered as the SMSC wrote them


class Smpp(Carrier):
    """One account at an SMSC, with its binds."""

    abilities = Abilities(title="SMPP 3.4", tested="node-smpp, smpp34, smpplib, Kannel")

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name)
        self._options = options
        self._kinds, self._ids, self._writer = options.kinds, options.ids, Writer(options)
        count = options.binds
        roles = {
            "transceiver": (Role.TRANSCEIVER,),
            "separate": (Role.TRANSMITTER, Role.RECEIVER),
            "transmitter": (Role.TRANSMITTER,),
        }
        self._roles = roles[options.bind] * count
        self.window = options.window * count
        rate = options.rate
        self._pace = Pace(rate.count / rate.per_s if rate else None)
        self._terms = Terms(
            window=options.window, answer_s=options.timeout / 1000, enquire_s=options.enquire / 1000
        )
        self.asks_after_ms = options.query
        self._spellings: dict[str, str] = {}
        self._record: Record | None = None
        self._binds: Binds | None = None
        self._inbound: inbound.Inbound | None = None
        self._late: set[asyncio.Task[None]] = set()

    def split(self, text: str) -> tuple[str, ...]:
        return self._writer.split(text)

    def room(self) -> int:
        return 0 if self._binds is None or self._binds.is_returning else self.window

    def is_back(self) -> bool:
        return self._binds is not None and self._binds.is_back()

    async def start(self, record: Record) -> None:
        """Bind in the background. Raises BadOption when a file or secret of the options can't be read, or not sent."""
        account = await asyncio.to_thread(self._account)
        self._record = record
        key = f"{account.system_id}\0{account.password}".encode()
        steady = asyncio.get_running_loop().time
        self._inbound = inbound.Inbound(self.name, self._options, key, now_ms, steady)
        self._binds = Binds(self.name, account, self._roles, self._session)
        self._binds.start()

    def _account(self) -> Account:
        options = self._options
        password = options.password.reveal()
        for found in options.judge("password", password):
            raise BadOption(f"password: {found.message}", found.hint)
        return Account(
            address=options.address,
            system_id=options.system_id,
            password=password,
            system_type=options.system_type,
            tls=tls_context(options),
            tls_name=options.tls_name,
        )

    def _session(self) -> Session:
        return Session(self._terms, self._take, self._answered_late)

    async def send(self, part: Part) -> Taken:
        """Submit one part. Nothing of it leaves while there is no bind."""
        if self._binds is None:
            raise Unavailable("unbound", "it is not bound")
        loop = asyncio.get_running_loop()
        if (wait_s := self._pace.reserve(loop.time())) > 0:
            await asyncio.sleep(wait_s)
        session = self._binds.pick(part.message)
        try:
            response = await session.submit(self._writer.body(part, now_ms()), part.attempt_id)
        except Unsent:
            raise Unavailable(
                "unbound", "the link broke before", retry_after_s=1, same_carrier=True
            ) from None
        except ValueError as e:  # UnicodeEncodeError is one
            raise Refused("local", "this can't be written in SMPP") from e
        outcome = self._outcome(response)
        if isinstance(outcome, Taken):
            return outcome
        what = statuses.kind(response.status, self._kinds)
        if what is Kind.THROTTLE:
            self._pace.slow(loop.time())
        elif what is Kind.REBIND:
            session.leave("it does not know us as bound")
        raise outcome

    def _outcome(self, response: Response) -> Taken | SendFailed:
        if response.status == wire.OK:
            spelled = read_message_id(response.body)
            id_ = receipts.answered_id(spelled, self._ids)
            if id_ != spelled:
                self._spellings[id_] = spelled
                if len(self._spellings) > _SPELLINGS:
                    del self._spellings[next(iter(self._spellings))]
            return Taken(carrier_message_id=id_)
        return statuses.failure(response.status, self._kinds, PAUSE_S)

    async def _take(self, short: Short, session: Session) -> int:
        """Store what the SMSC brings; return what it is told. What is not on disk it brings again."""
        assert self._record is not None
        assert self._inbound is not None
        event = self._inbound.read(short, session)
        if event is None:
            return wire.OK
        try:
            await self._record(event)
        except StoreUnavailable:
            self._inbound.answered(event, is_taken=False)
            return wire.TRY_AGAIN
        self._inbound.answered(event, is_taken=True)
        return wire.OK

    def _answered_late(self, attempt_id: str, response: Response) -> None:
        outcome = self._outcome(response)
        taken = outcome if isinstance(outcome, Taken) else None
        answer = LateAnswer(
            carrier=self.name,
            attempt_id=attempt_id,
            outcome="taken" if taken else "refused" if isinstance(outcome, Refused) else "unavailable",
            at=now_ms(),
            carrier_message_id=taken.carrier_message_id if taken else None,
            code="" if isinstance(outcome, Taken) else outcome.code,
        )
        task = asyncio.get_running_loop().create_task(self._until_stored(answer))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _until_stored(self, answer: LateAnswer) -> None:
        """The SMSC says it once."""
        assert self._record is not None
        while True:
            try:
                return await self._record(answer)
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_S)

    async def ask(self, sent: Sent) -> None:
        """Ask by query_sm, where the SMSC offers that."""
        if self._binds is None or self._record is None:
            return
        body = wire.query(self._spelled(sent), self._writer.sender(sent.sender_id))
        response = await self._binds.ask(Command.QUERY_SM, body, self._terms.answer_s)
        with contextlib.suppress(Malformed, StoreUnavailable):
            if response.status == wire.OK:
                await self._record(inbound.queried(sent, response.body, now_ms()))

    async def recall(self, sent: Sent) -> bool:
        """Take it back by cancel_sm, where the SMSC offers that."""
        if self._binds is None:
            return False
        source, to = self._writer.sender(sent.sender_id), self._writer.phone(sent.msisdn)
        body = wire.cancel(self._spelled(sent), source, to)
        response = await self._binds.ask(Command.CANCEL_SM, body, self._terms.answer_s)
        return response.status == wire.OK

    def _spelled(self, sent: Sent) -> str:
        """Return an id as the SMSC wrote it, as long as that is remembered."""
        return self._spellings.get(sent.carrier_message_id, sent.carrier_message_id)

    async def probe(self) -> str:
        """Bind as the daemon does, and unbind."""
        account, role = await asyncio.to_thread(self._account), self._roles[0]
        try:
            session, theirs = await open_session(account, role, self._session)
        except Unreachable as e:
            raise Unavailable("unreachable", f"{account.address}: {e}") from None
        except SendFailed as e:
            if e.code in _NOT_LET_IN and len(account.password) > wire.STANDARD_PASSWORD:
                raise BadOption(f"{account.address}: {e.detail}", _SHORTER) from None
            raise
        await session.close(_AGAIN_S)
        how = "over TLS" if account.tls else "in clear"
        return f'{account.address} took the bind of {account.system_id} ({how}); it calls itself "{theirs}"'

    async def stop(self) -> None:
        """Unbind; answers that came too late are written first."""
        if self._binds is not None:
            await self._binds.stop()
        if self._late:
            await asyncio.wait(self._late, timeout=_AGAIN_S)


def build(name: str, options: Options, folder: Path) -> Smpp:
    """Return the carrier; it keeps no state in `folder`."""
    return Smpp(name, options)
