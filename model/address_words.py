"""What hosts, addresses, URLs and origins of the config must look like; see `words`."""

import re
from ipaddress import IPv4Address
from urllib.parse import SplitResult, urlsplit

from model.problems import broken
from model.words import LABEL, text

DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST_NAME = 253
"""Characters of a DNS name (RFC 1035)."""
LOOPBACK_NAME = "localhost"

_URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?@!$&'()*+,;=%-]+")
_ORIGIN = re.compile(r"(https?)://(?:\*\.)?([a-z0-9.-]+)(?::([0-9]{1,5}))?")
_ADDRESS = re.compile(r"([a-z0-9.-]+):([0-9]{1,5})")


def is_host(name: str) -> bool:
    """Whether this is a DNS name of lower case or an IPv4 address; what ends in digits can only be the latter (RFC 3696, §2)."""
    if name.rpartition(".")[2].isdecimal():
        return _ipv4(name) is not None
    return len(name) <= LONGEST_NAME and all(LABEL.fullmatch(label) for label in name.split("."))


def is_https_url(url: str) -> bool:
    """Whether this is an https URL without user or fragment that Envoy can reach by IPv4; http is for loopback only."""
    # urlsplit drops line breaks and tabs without a word, and tells of a wrong port only when it is asked for.
    if not _URL_CHARACTERS.fullmatch(url) or "@" in url.partition("://")[2].partition("/")[0]:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return is_host(host) and port != 0 and (parts.scheme == "https" or _is_plain_loopback(parts, host))


def https_url(value: object) -> str:
    """An https URL; http is for loopback only."""
    url = text(value)
    if not is_https_url(url):
        rule = "this must be an https URL with a host and, where it names one, a port of 1 to 65535, without user, fragment or blanks"
        raise broken(rule, "write for example `https://login.example.com`")
    return url


def origin(value: object) -> str:
    """`https://host[:port]`; the first label may be `*` for all names below a domain."""
    found = text(value)
    match = _ORIGIN.fullmatch(found)
    if not match or not is_host(match[2]) or not _is_port(match[3]) or (found.count("*") and _ipv4(match[2])):
        rule = "an origin is scheme://host[:port], without a path; `*.` may stand for any name before it"
        raise broken(rule, "write `https://app.example.com`")
    if match[3] and int(match[3]) == DEFAULT_PORTS[match[1]]:
        raise broken(f"browsers leave port {match[3]} out of an origin of {match[1]}", f"write `{found.rpartition(':')[0]}`")
    return found


def origin_or_any(value: object) -> str:
    """An origin, or `*` for every one."""
    return "*" if value == "*" else origin(value)


def host_and_port(value: object) -> str:
    """`host:port`."""
    address = text(value)
    match = _ADDRESS.fullmatch(address)
    if not match or not is_host(match[1]) or not _is_port(match[2]):
        rule = "an address is host:port, with a DNS name or an IPv4 address and a port of 1 to 65535"
        raise broken(rule, "write for example `limits.example.com:8081`")
    return address


def _is_plain_loopback(parts: SplitResult, host: str) -> bool:
    address = _ipv4(host)
    return parts.scheme == "http" and (host == LOOPBACK_NAME or (address is not None and address.is_loopback))


def _is_port(digits: str | None) -> bool:
    return digits is None or 1 <= int(digits) <= 65535


def _ipv4(host: str) -> IPv4Address | None:
    try:
        return IPv4Address(host)
    except ValueError:
        return None
