"""What an email or API call became when it came before: asked when it would now be refused."""

from __future__ import annotations

from sqlalchemy import Connection, select

from mail2sms import segments
from mail2sms.model import Origin, Writer, make_id
from mail2sms.store import schema
from mail2sms.store.put import REPEAT_MS


def messages_of(connection: Connection, writer: Writer, origin: Origin, text: str, now: int) -> list[str]:
    """Return the ids of the messages that were accepted from this writer under this Message-ID within a day.

    Their text must stand in `text`: another one under the same Message-ID is another mail.
    """
    submission, content, message = schema.submission, schema.content, schema.message
    query = (
        select(message.c.id, content.c.data)
        .join(submission, submission.c.id == message.c.submission)
        .join(content, content.c.id == message.c.content)
        .where(
            submission.c.id
            > make_id("m", now - REPEAT_MS, 0),  # ids sort by time: no index of their own is needed
            submission.c.account == writer.account,
            submission.c.writer == writer.address,
            submission.c.message_id == origin.message_id,
        )
        .order_by(message.c.id)
    )
    given = segments.bare(text)
    return [row.id for row in connection.execute(query) if segments.bare(bytes(row.data).decode()) in given]
