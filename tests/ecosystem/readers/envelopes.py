"""Signed envelopes by a JWT library that is not ours (joserfc, with cryptography).

    python envelopes.py sign PRIVATE_PEM KID CLAIMS      prints the envelope
    python envelopes.py verify PUBLIC_PEM ENVELOPE       prints header and claims, if the signature is the key's
"""

import json
import sys
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import OKPKey

ALGORITHMS = ["EdDSA"]


def main():
    action, file, *rest = sys.argv[1:]
    key = OKPKey.import_key(Path(file).read_text())
    if action == "sign":
        kid, claims = rest
        print(jwt.encode({"alg": ALGORITHMS[0], "kid": kid}, json.loads(claims), key, algorithms=ALGORITHMS))
    else:
        token = jwt.decode(rest[0], key, algorithms=ALGORITHMS)
        print(json.dumps({"header": token.header, "claims": token.claims}))


if __name__ == "__main__":
    main()
