"""The login page: one form, no script, allowed to go nowhere but back."""

from urllib.parse import urlsplit

from jinja2 import DictLoader, Environment

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in</title>
<style>
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; padding: 1rem; background: #f4f4f7; color: #1b1b1f }
body { display: grid; place-items: center; min-height: 100vh }
main { background: #fff; padding: 2rem; border-radius: 8px; box-shadow: 0 1px 6px #0002; width: min(24rem, 100%) }
h1 { margin: 0; line-height: 1.2 }
label { display: block; margin-top: 1rem }
input, button { font: inherit; width: 100%; padding: .5rem; border: 1px solid #767680; border-radius: 4px }
button { margin-top: 1.5rem; border-color: #2b4fc7; background: #2b4fc7; color: #fff; cursor: pointer }
:focus-visible { outline: 3px solid #2b4fc780; outline-offset: 1px }
.fault { color: #b00020 }
.note { color: #555; font-size: .875rem; overflow-wrap: anywhere }
</style>
</head>
<body><main>
<h1>Log in</h1>
<p class="note">{{ client }} asks for: {{ scope or "nothing but your name" }}</p>
{% if fault %}<p class="fault" id="fault" role="alert">{{ fault }}</p>{% endif %}
<form method="post">
<label>Name
<input name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required value="{{ name }}"
{{- " autofocus" if not name }}></label>
<label>Password
<input name="password" type="password" autocomplete="current-password" required
{{- " autofocus" if name }}{{ " aria-invalid=true aria-describedby=fault" if fault }}></label>
<button>Log in</button>
</form>
<p class="note">The mesh's built-in provider, for development: any name, and the stack's password, which docs/auth.md tells how to find.</p>
</main></body></html>
"""
_TEMPLATES = Environment(loader=DictLoader({"login.html": _PAGE}), autoescape=True)


def login(*, client: str, scope: str, name: str = "", fault: str = "") -> str:
    """The page's HTML; it posts to its own URL."""
    return _TEMPLATES.get_template("login.html").render(client=client, scope=scope, name=name, fault=fault)


def headers(redirect_uri: str) -> dict[str, str]:
    """Response headers of the page; browsers also judge by them where a form's redirect may lead."""
    parts = urlsplit(redirect_uri)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; form-action 'self' {parts.scheme}://{parts.netloc}; frame-ancestors 'none'"
    return {"content-security-policy": policy, "cache-control": "no-store", "referrer-policy": "no-referrer"}
