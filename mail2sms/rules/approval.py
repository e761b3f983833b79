"""What goes to more phones, or costs more, than `quotas.approval_above` waits until somebody has approved it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mail2sms.model import MtMessage, Proof, Writer
from mail2sms.rules._base import Hold
from mail2sms.rules._limits import MESSAGES, Quotas


def judge(messages: Sequence[MtMessage], writer: Writer, quotas: Quotas) -> Hold | None:
    """Hold all that one email or API call asks for; never what the operator does, who could release it."""
    if writer.proof is Proof.OPERATOR:
        return None
    for above in quotas.approval_above:
        asked = sum(map(above.taken_by, messages))
        if asked > above.amount:
            noun = " messages" if above.unit == MESSAGES else ""
            detail = f"{above.written(asked)}{noun}, more than {above.written(above.amount)}"
            return Hold(reason="held.approval", detail=detail)
    return None
