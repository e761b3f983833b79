"""Mail programs of other projects, each sending one given mail; all return (exit code, what they said).

None reads or writes the user's own files: HOME is a folder that is gone afterwards.
"""

from __future__ import annotations

import os
import smtplib
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from email import message_from_bytes, policy
from pathlib import Path

from tests.servers._server import program

Outcome = tuple[int, str]
Client = Callable[[bytes, str, int, str, str], Outcome]


def swaks(mail: bytes, host: str, port: int, sender: str, to: str) -> Outcome:
    """Swiss Army Knife for SMTP: sends the bytes as they are."""
    lines = mail.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
    # --no-data-fixup leaves the dots of RFC 5321 section 4.5.2 to us.
    data = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b"\r\n.\r\n"
    with tempfile.TemporaryDirectory() as home:
        path = Path(home, "mail")
        path.write_bytes(data)
        command = [program("swaks", "swaks"), "--server", host, "--port", str(port), "--protocol", "ESMTP"]
        return _run([*command, "--from", sender, "--to", to, "--no-data-fixup", "--data", f"@{path}"], home)


def msmtp(mail: bytes, host: str, port: int, sender: str, to: str) -> Outcome:
    """A sendmail for workstations."""
    config = f"account default\nhost {host}\nport {port}\ndomain client.test.example\nauth off\ntls off\n"
    with tempfile.TemporaryDirectory() as home:
        path = Path(home, "msmtprc")
        path.write_text(config, encoding="utf-8")
        command = [program("msmtp", "msmtp"), f"--file={path}", f"--from={sender}", "--", to]
        return _run(command, home, mail.replace(b"\r\n", b"\n"))


def snail(mail: bytes, host: str, port: int, sender: str, to: str) -> Outcome:
    """The mailx of many systems. It writes the headers itself: of `mail` it gets the subject and the plain text."""
    message = message_from_bytes(mail, policy=policy.default)
    body = message.get_body(("plain",))
    text = body.get_content().replace("\r\n", "\n") if body is not None else ""
    with tempfile.TemporaryDirectory() as home:
        # As root it takes the home of the password file, whatever HOME says: what it cannot send would stay there.
        settings = [
            "v15-compat",
            "sendwait",
            f"mta=smtp://{host}:{port}",
            "smtp-auth=none",
            f"DEAD={home}/dead",
        ]
        settings += [f"from={sender}", "hostname=client.test.example"]
        options = [word for setting in settings for word in ("-S", setting)]
        command = [program("s-nail", "s-nail"), "-:/", *options, "-s", str(message["Subject"] or ""), to]
        return _run(command, home, text.encode())


def smtplib_client(mail: bytes, host: str, port: int, sender: str, to: str) -> Outcome:
    """Python's own; the exit code is 1 and the words are the server's when it refuses."""
    try:
        with smtplib.SMTP(host, port, local_hostname="client.test.example", timeout=30) as connection:
            connection.sendmail(sender, [to], mail)
    except (smtplib.SMTPException, OSError) as e:
        return 1, repr(e)
    return 0, ""


CLIENTS: dict[str, Client] = {"swaks": swaks, "msmtp": msmtp, "s-nail": snail, "smtplib": smtplib_client}


def _run(command: Sequence[str], home: str, stdin: bytes = b"") -> Outcome:
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": home, "LC_ALL": "C.UTF-8", "TMPDIR": home}
    done = subprocess.run(
        command,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")
