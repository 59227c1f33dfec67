// A handler of COAFI: a push to release/X announces the tag vX.

import { createServer, type IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import type { AddressInfo } from "node:net";

import { CloudEvent, HTTP } from "cloudevents";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

interface Push {
  repositoryUrl: string;
  branch: string;
  after: string | null;
}

const RELEASE = "release/";
const webhook = new Webhook(process.env.SECRET ?? "");

/** What follows from a push, if anything. The same push gives the same event: it may come again. */
function handle(event: CloudEvent<Push>): CloudEvent<object> | undefined {
  const push = event.data;
  if (!push?.branch.startsWith(RELEASE)) return undefined;
  const tag = `v${push.branch.slice(RELEASE.length)}`;
  return new CloudEvent({
    id: `${event.id}/tag`,
    source: "/examples/typescript",
    type: "git.tag",
    subject: tag,
    data: { repositoryUrl: push.repositoryUrl, tag, action: "created", commitSha: push.after },
  });
}

async function answer(request: IncomingMessage): Promise<{ status: number; headers: object; body: string }> {
  const body = (await buffer(request)).toString();
  try {
    webhook.verify(body, request.headers as Record<string, string>);
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    return { status: 401, headers: { "content-type": "text/plain" }, body: error.message };
  }
  const follows = handle(HTTP.toEvent<Push>({ headers: request.headers, body }) as CloudEvent<Push>);
  if (follows === undefined) return { status: 204, headers: {}, body: "" };
  const message = HTTP.structured(follows);
  return { status: 200, headers: message.headers, body: message.body as string };
}

const server = createServer((request, response) => {
  answer(request).then(
    ({ status, headers, body }) => response.writeHead(status, { ...headers }).end(body),
    (error: unknown) => response.writeHead(500, { "content-type": "text/plain" }).end(String(error)),
  );
});
server.listen(Number(process.env.PORT ?? 8000), "127.0.0.1", () => {
  console.error(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
