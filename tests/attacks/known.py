"""Attacks that are not refused, each with what keeps it harmless; docs/hardening.md has the same list."""

_ISSUER = "only the issuer can sign one"

ACCEPTED: dict[tuple[str, str], str] = {
    ("token", "an unknown critical header"): f"RFC 7515 §4.1.11 would refuse it; {_ISSUER}",
    ("token", "an unencoded payload said (b64)"): f"the payload is read as the encoded one that it is; {_ISSUER}",
    ("token", "issued in the future"): f"`exp` and `nbf` bound its life; {_ISSUER}",
    ("token", "the other signature of the same key (r, n-s)"): "the same token in other letters; revoke by `jti`, never by a token's text",
    ("login", "a logout by another site's link"): "the person logs in again; nothing else is lost",
    ("login", "plain HTTP under another host name"): "a browser names the host that it is at; keep shared caches away from port 80",
    ("door", "WebSocket: another site's page on a public route"): "login cookies are SameSite=Lax; an app with others checks `Origin`",
}
