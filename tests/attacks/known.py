"""What is not refused, each with what keeps it harmless; docs/hardening.md has the same lists."""

_ISSUER = "only the issuer can sign one"

ACCEPTED: dict[tuple[str, str], str] = {
    ("token", "an unknown critical header"): f"RFC 7515 §4.1.11 would refuse it; {_ISSUER}",
    ("token", "an unencoded payload said (b64)"): f"the payload is read as the encoded one that it is; {_ISSUER}",
    ("token", "issued in the future"): f"`exp` and `nbf` bound its life; {_ISSUER}",
    ("token", "the other signature of the same key (r, n-s)"): "the same token in other letters; revoke by `jti`, never by a token's text",
    ("login", "a logout by another site's link"): "the person logs in again; nothing else is lost",
    ("login", "a session's cookies, kept from before its logout"): (
        "who could copy them was at the person's machine; short token lives bound it, another cookie key ends all"
    ),
    ("login", "its refresh token alone, kept from before its logout"): (
        "as with all its cookies; an issuer that revokes it at a logout ends it"
    ),
    ("login", "plain HTTP under another host name"): "a browser names the host that it is at; keep shared caches away from port 80",
    ("door", "WebSocket: another site's page on a public route"): "login cookies are SameSite=Lax; an app with others checks `Origin`",
}

H2SPEC: dict[str, str] = {
    "3.8/1": "a GOAWAY of the client is taken, and the PING behind it is not answered",
    "5.1/8": "DATA on a stream that was reset is dropped in silence, as it may have been under way",
    "5.1/9": "HEADERS on a stream that was reset: likewise",
    "5.1/11": "DATA on a stream that is closed: likewise",
    "5.1/12": "HEADERS on a stream that is closed: likewise",
    "5.1.1/2": "a stream with a lower number than the last is served",
    "5.3.1/2": "priorities are not read, since RFC 9113 did away with them",
    "6.3/1": "priorities are not read, not even those of stream 0",
    "6.9.1/2": "a window beyond 2^31-1 ends the connection without a GOAWAY",
    "6.9.1/3": "a stream's window beyond 2^31-1 ends the connection, not only the stream",
    "7/1": "a GOAWAY with an unknown code: as 3.8/1",
}
"""Deviations of Envoy 1.40's codec from RFC 7540 that h2spec finds, by section and number; none lets anything through."""
