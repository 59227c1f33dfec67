"""A handler of COAFI: a push to release/X announces the tag vX."""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

RELEASE = "release/"
WEBHOOK = Webhook(os.environ["SECRET"])


def handle(event):
    """What follows from a push, if anything. The same push gives the same event: it may come again."""
    push = event.get_data()
    if not push["branch"].startswith(RELEASE):
        return None
    tag = "v" + push["branch"].removeprefix(RELEASE)
    attributes = {"id": f"{event.get_id()}/tag", "source": "/examples/python", "type": "git.tag", "subject": tag}
    data = {"repositoryUrl": push["repositoryUrl"], "tag": tag, "action": "created", "commitSha": push["after"]}
    return CloudEvent(attributes, data)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            WEBHOOK.verify(body, headers, json_parse=False)
        except WebhookVerificationError as error:
            return self.answer(401, {"content-type": "text/plain"}, str(error).encode())
        follows = handle(from_binary(HTTPMessage(headers, body), JSONFormat()))
        if follows is None:
            return self.answer(204, {}, b"")
        message = to_structured(follows, JSONFormat())
        return self.answer(200, message.headers, message.body)

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}", file=sys.stderr)
    server.serve_forever()
