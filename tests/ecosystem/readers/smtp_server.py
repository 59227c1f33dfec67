"""An SMTP server that writes a JSON object per message into a file, and first the port that it listens on.

Arguments: the port (0: any), how many messages it refuses at first, with 451, and the file.
"""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP

refusals = int(sys.argv[2])
written = open(sys.argv[3], "a", encoding="utf-8")


def say(what):
    print(json.dumps(what), file=written, flush=True)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        global refusals
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        refused = refusals > 0
        say({
            "refused": refused,
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


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), hostname="smtp.test"), "127.0.0.1", int(sys.argv[1]))
    say({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


asyncio.run(main())
