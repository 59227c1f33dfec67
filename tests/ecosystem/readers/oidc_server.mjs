// An OpenID provider: oauth2-mock-server with one key, and one more for each request to its second server, such as POST /ES256.
// Its first line on standard error says where both are. Tokens have the claims that their request names; keys sign in turn.
//
// Argument: the directory of node_modules.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const { OAuth2Server } = await import(pathToFileURL(`${process.argv[2]}/oauth2-mock-server/dist/index.js`));
const provider = new OAuth2Server();
await provider.issuer.keys.generate('RS256');
provider.service.on('beforeTokenSigning', (token, request) => {
  Object.assign(token.payload, JSON.parse(request.body.claims));
});
await provider.start(0, '127.0.0.1');
provider.issuer.url = `http://localhost:${provider.address().port}`;

const keys = createServer(async (request, response) => {
  response.end((await provider.issuer.keys.generate(request.url.slice(1))).kid);
});
keys.listen(0, '127.0.0.1');
await once(keys, 'listening');
console.error(JSON.stringify({ issuer: provider.issuer.url, keys: `http://127.0.0.1:${keys.address().port}` }));
