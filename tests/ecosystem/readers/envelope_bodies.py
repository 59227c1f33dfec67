"""How Schemathesis writes bodies that are envelopes: as the text that they are."""

import schemathesis


@schemathesis.serializer("application/jwt", "application/jose")
def envelope(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()
