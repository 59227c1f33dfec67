"""An SMTP server that writes a JSON object per message into a file, and first the port that it listens on.

Arguments: the port (0: any), how many messages it refuses at first, with 451, and the file. With TLS also starttls or implicit, and
a file with a certificate and its key; then only ada may send, whose password is in the environment.
"""

import asyncio
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

refusals = int(sys.argv[2])
written = open(sys.argv[3], "a", encoding="utf-8")
tls = sys.argv[4] if len(sys.argv) > 4 else None
context = None
if tls:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[5])


def say(what):
    print(json.dumps(what), file=written, flush=True)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        global refusals
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        refused = refusals > 0
        say({
            "refused": refused,
            "login": session.auth_data.login.decode() if tls else None,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": message["Subject"],
            "id": message["Message-ID"],
            "parts": {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()},
        })
        if refused:
            refusals -= 1
            return "451 try again"
        return "250 taken"


def authenticate(server, session, envelope, mechanism, login):
    known = (login.login, login.password) == (b"ada", os.environb[b"PASSWORD"])
    return AuthResult(success=known, auth_data=login)


def protocol():
    if not tls:
        return SMTP(Handler(), hostname="smtp.test")
    wanted = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": tls == "starttls"}
    if tls == "starttls":
        wanted |= {"tls_context": context, "require_starttls": True}
    return SMTP(Handler(), hostname="smtp.test", **wanted)


async def main():
    loop = asyncio.get_running_loop()
    wrapped = context if tls == "implicit" else None
    server = await loop.create_server(protocol, "127.0.0.1", int(sys.argv[1]), ssl=wrapped)
    say({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


asyncio.run(main())
