"""Every kind of mistake that a stack config can hold, with the message that its writer gets.

Each row changes one place of a good config; the message must name the place, show the value, say the rule and a fix.
"""

import copy
from typing import Any

import pytest
import yaml

from model.problems import ConfigError
from model.read import read_mesh

GOOD = yaml.safe_load(
    """
domain: dev.mesh.internal
network: {cidr: 10.20.0.0/16, zones: 2, nat: single}
edge: {instances: 2, https: 443, http: 80, tls: {mode: self-signed}}
machines: {ami: ami-0123456789abcdef0}
services:
  web: {image: {build: apps/http_service}, port: 8080, routes: [{prefix: /web}], calls: [api, grpc-1, postgres]}
  api: {image: {ref: "registry/api:1.2"}, port: 8080, routes: [{prefix: /api}]}
  grpc-1: {protocol: grpc, image: {build: apps/grpc_service}, port: 50051, calls: [postgres]}
  queue: {protocol: tcp, image: {ref: "queue:3"}, port: 6379}
database: {engine: postgres, version: "18", storage: 20GiB}
observability: {prometheus: {retention: 15d}}
"""
)

REMOVED = object()
WEB = "services.web"
ISSUER = {"issuer": "https://login.example.com", "audiences": ["mesh"]}
LOGIN = {"login": {"clientId": "mesh", "clientSecret": "/team/oauth-secret"}}

BRIDGE = {"prefix": "/grpc", "proto": "apps/protos/info.proto"}

ACME: dict[str, Any] = {"email": "ops@example.com", "directory": "https://acme.example.com", "domains": ["a.example.com"]}
MISTAKES: list[tuple[str, Any, str, str, str]] = [
    # place changed, new value, path in the message, part of the rule, part of the fix
    ("domain", REMOVED, "mesh.domain", "this key is required", "domain: dev.mesh.internal"),
    ("domain", "mesh", "mesh.domain", "two or more labels", "dev.mesh.internal"),
    ("domain", "Dev.Mesh", "mesh.domain", "two or more labels", "dev.mesh.internal"),
    ("domain", "mesh.local", "mesh.domain", "multicast DNS", ".internal"),
    ("domain", 1.5, "mesh.domain", "must be text", '"1.5"'),
    ("network", REMOVED, "mesh.network", "this key is required", "cidr"),
    ("network.cidr", "10.20.0.1/16", "mesh.network.cidr", "bits set behind the prefix", "10.20.0.0/16"),
    ("network.cidr", "10.20.0.0/24", "mesh.network.cidr", "no room for subnets", "/16"),
    ("network.cidr", "10.0.0.0/8", "mesh.network.cidr", "AWS takes no larger one", "/16"),
    ("network.cidr", "8.8.0.0/16", "mesh.network.cidr", "must be private", "10.20.0.0/16"),
    ("network.cidr", "fd00::/16", "mesh.network.cidr", "IPv4 network", "10.20.0.0/16"),
    ("network.cidr", "127.20.0.0/16", "mesh.network.cidr", "loopback", "10.20.0.0/16"),
    ("network.zones", 0, "mesh.network.zones", "greater than or equal to 1", "zones: 2"),
    ("network.zones", 7, "mesh.network.zones", "less than or equal to 6", "zones: 2"),
    ("network.zones", "2", "mesh.network.zones", "valid integer", "zones: 2"),
    ("network.nat", "per-zones", "mesh.network.nat", "'none', 'single' or 'per-zone'", "did you mean 'per-zone'?"),
    ("network.zone", 2, "mesh.network.zone", "not known here", "did you mean 'zones'?"),
    ("edge.instances", 0, "mesh.edge.instances", "greater than or equal to 1", "instances: 2"),
    ("edge.instances", 5, "mesh.edge.instances", "Elastic IPs; the account's quota is 5", "quotas: {elasticIps: …}"),
    ("edge.https", 70000, "mesh.edge.https", "less than or equal to 65535", "https: 443"),
    ("edge.http", 443, "mesh.edge.http", "a port each", "http: 80"),
    ("edge.https", 9902, "mesh.edge.https", "the metrics listener", "another port"),
    ("edge.http", 9901, "mesh.edge.http", "admin interface", "another port"),
    ("edge.https", 8444, "mesh.edge.https", "outer edges", "another port"),
    ("edge.tls.mode", "manual", "mesh.edge.tls.mode", "'secret' or 'acme'", "self-signed"),
    ("edge.tls", {"mode": "secret"}, "mesh.edge.tls.secret", "mode `secret` needs it", "secret: /team/edge-tls"),
    ("edge.tls", {"secret": "/team/tls"}, "mesh.edge.tls.secret", "mode `self-signed` does not read it", "mode: secret"),
    ("edge.tls", {"mode": "secret", "secret": "tls"}, "mesh.edge.tls.secret", "SSM parameter's name", "/team/api-key"),
    ("edge.tls", {"certificates": [{"domains": [], "secret": "/a"}]}, "mesh.edge.tls.certificates[0].domains", "at least 1", "domains"),
    (
        "edge.tls",
        {"certificates": [{"domains": ["a.example.com"], "secret": "/a"}, {"domains": ["b.example.com", "a.example.com"], "secret": "/b"}]},
        "mesh.edge.tls.certificates[1].domains[1]",
        "a certificate already, at mesh.edge.tls.certificates[0].domains[0]",
        "remove one",
    ),
    (
        "edge.tls",
        {"certificates": [{"domains": ["a.example.com"], "secret": "/a"}, {"domains": ["b.example.com"], "secret": "/a"}]},
        "mesh.edge.tls.certificates[1].secret",
        "the same certificate stands at mesh.edge.tls.certificates[0].secret",
        "in one entry",
    ),
    (
        "edge.tls",
        {"mode": "secret", "secret": "/a", "certificates": [{"domains": ["a.example.com"], "secret": "/a"}]},
        "mesh.edge.tls.certificates[0].secret",
        "the same certificate stands at mesh.edge.tls.secret",
        "in one entry",
    ),
    (
        f"{WEB}.routes",
        [{"prefix": "/w", "domains": ["shop.example.com"]}],
        f"mesh.{WEB}.routes[0].domains",
        "no certificate of the edge",
        "mesh.edge.tls.certificates",
    ),
    (
        f"{WEB}.routes",
        [{"prefix": "/w", "domains": ["a.b.dev.mesh.internal"]}],
        f"mesh.{WEB}.routes[0].domains",
        "no certificate of the edge",
        "a name below dev.mesh.internal",
    ),
    (
        f"{WEB}.routes",
        [{"prefix": "/w", "domains": ["a.dev.mesh.internal", "a.dev.mesh.internal"]}],
        f"mesh.{WEB}.routes[0].domains[1]",
        "in the list already",
        "remove it",
    ),
    (
        f"{WEB}.routes",
        [{"prefix": "/w", "domains": ["a.dev.mesh.internal"]}, {"prefix": "/w", "domains": ["b.dev.mesh.internal", "a.dev.mesh.internal"]}],
        f"mesh.{WEB}.routes[1].prefix",
        "the same prefix for a.dev.mesh.internal stands at mesh.services.web.routes[0].prefix",
        "other `domains`",
    ),
    ("edge.tls", {"mode": "acme"}, "mesh.edge.tls.acme", "mode `acme` needs it", "acme: {email"),
    ("edge.tls", {"acme": ACME}, "mesh.edge.tls.acme", "mode `self-signed` does not read it", "mode: acme"),
    ("edge.tls", {"mode": "acme", "acme": ACME | {"email": "ops"}}, "mesh.edge.tls.acme.email", "mail address", "ops@example.com"),
    (
        "edge.tls",
        {"mode": "acme", "acme": ACME | {"directory": "http://acme.example.com"}},
        "mesh.edge.tls.acme.directory",
        "https URL",
        "https://",
    ),
    (
        "edge.tls",
        {"mode": "acme", "acme": ACME, "certificates": [{"domains": ["a.example.com"], "secret": "/a"}]},
        "mesh.edge.tls.certificates[0].domains[0]",
        "a certificate already, at mesh.edge.tls.acme.domains[0]",
        "remove one",
    ),
    ("edge.instanceType", "small", "mesh.edge.instanceType", "family.size", "t3.small"),
    ("machines.ami", REMOVED, "mesh.machines.ami", "names the machine image", "machines: {ami: ami-…}"),
    ("machines.ami", "ubuntu", "mesh.machines.ami", "hex digits", "ami-0123456789abcdef0"),
    ("machines.images", {"envoy": "envoyproxy/envoy"}, "mesh.machines.images.envoy", "means `latest`", "envoyproxy/envoy:<tag>"),
    ("services", {}, "mesh.services", "at least 1 item", "services"),
    ("services.Web_2", {}, "mesh.services.Web_2", "a-z, 0-9 and -", "'web-2'"),
    ("services.edge", {}, "mesh.services.edge", "the mesh's own", "'my-edge'"),
    ("services." + "a" * 33, {}, "mesh.services." + "a" * 33, "1 to 32 characters", "'" + "a" * 32 + "'"),
    (f"{WEB}.protocol", "http2", f"mesh.{WEB}.protocol", "'http', 'grpc' or 'tcp'", "did you mean 'http'?"),
    (f"{WEB}.image", REMOVED, f"mesh.{WEB}.image", "this key is required", "build"),
    (f"{WEB}.image", {}, f"mesh.{WEB}.image", "either built", "keep one of"),
    (f"{WEB}.image", {"build": "a", "ref": "b:1"}, f"mesh.{WEB}.image", "either built", "keep one of"),
    (f"{WEB}.image.build", "../elsewhere", f"mesh.{WEB}.image.build", "inside the repository", "apps/http_service"),
    (f"{WEB}.image.build", "/srv/app", f"mesh.{WEB}.image.build", "inside the repository", "apps/http_service"),
    ("services.api.image.ref", "Registry/API:1", "mesh.services.api.image.ref", "lower case", "registry/name:1.2"),
    ("services.api.image.ref", "registry/api", "mesh.services.api.image.ref", "means `latest`", "registry/api:<tag>"),
    ("services.api.image.ref", "registry/api:latest", "mesh.services.api.image.ref", "changes under a running mesh", "digest"),
    (f"{WEB}.image.local", {"command": "serve"}, f"mesh.{WEB}.image.local.command", "must say {port}", "{host} --port {port}"),
    (f"{WEB}.image.local", {"command": "serve {port} {name}"}, f"mesh.{WEB}.image.local.command", "{name} is not filled in", "{host}"),
    (f"{WEB}.image.local", {"command": "serve '{port}"}, f"mesh.{WEB}.image.local.command", "quotes do not match", "close"),
    (f"{WEB}.image.local", {"command": " "}, f"mesh.{WEB}.image.local.command", "is empty", "{port}"),
    (f"{WEB}.port", REMOVED, f"mesh.{WEB}.port", "this key is required", "port: 8080"),
    (f"{WEB}.port", 0, f"mesh.{WEB}.port", "greater than or equal to 1", "port: 8080"),
    (f"{WEB}.port", "8080", f"mesh.{WEB}.port", "valid integer", "port: 8080"),
    (f"{WEB}.port", 8000, f"mesh.{WEB}.port", "the sidecar's ingress listener", "8080"),
    (f"{WEB}.port", 9901, f"mesh.{WEB}.port", "Envoy's admin interface", "8080"),
    (f"{WEB}.port", 5432, f"mesh.{WEB}.port", "the sidecar's Postgres listener", "8080"),
    (f"{WEB}.replicas", {"min": 3, "max": 2}, f"mesh.{WEB}.replicas", "min is at most max", "{min: 2, max: 3}"),
    (f"{WEB}.replicas", {"min": 0}, f"mesh.{WEB}.replicas.min", "greater than or equal to 1", "min: 2"),
    (f"{WEB}.replicas", {"count": 2}, f"mesh.{WEB}.replicas.count", "not known here", "max, min"),
    (f"{WEB}.routes", [{"prefix": "web"}], f"mesh.{WEB}.routes[0].prefix", "starts with /", "write /web"),
    (f"{WEB}.routes", [{"prefix": "/web/"}], f"mesh.{WEB}.routes[0].prefix", "ends without /", "write /web"),
    (f"{WEB}.routes", [{"prefix": "/a//b"}], f"mesh.{WEB}.routes[0].prefix", "no empty parts", "/web/v1"),
    (f"{WEB}.routes", [{"prefix": "/a?b"}], f"mesh.{WEB}.routes[0].prefix", "query", "/web/v1"),
    (f"{WEB}.routes", [{"prefix": "/a/../b"}], f"mesh.{WEB}.routes[0].prefix", "no . or .. parts", "the path they lead to"),
    (
        f"{WEB}.routes",
        [{"prefix": "/api"}],
        "mesh.services.api.routes[0].prefix",
        "stands at mesh.services.web.routes[0].prefix",
        "another",
    ),
    (f"{WEB}.routes", [{"prefix": "/w", "timeout": "15"}], f"mesh.{WEB}.routes[0].timeout", "ms, s or m", "15s"),
    (f"{WEB}.routes", [{"prefix": "/w", "timeout": "2h"}], f"mesh.{WEB}.routes[0].timeout", "ms, s or m", "15s"),
    (f"{WEB}.routes", [{"prefix": "/w", "timeout": "90m"}], f"mesh.{WEB}.routes[0].timeout", "at most 60m", "15s"),
    (f"{WEB}.routes", [{"prefix": "/w", "strip": "yes"}], f"mesh.{WEB}.routes[0].strip", "valid boolean", "strip: true"),
    (f"{WEB}.routes", [{"prefix": "/w", "xyzzy": "/x"}], f"mesh.{WEB}.routes[0].xyzzy", "not known here", "use one of"),
    ("services.grpc-1.routes", [{"prefix": "/g"}], "mesh.services.grpc-1.routes", "routes HTTP services only", "remove the routes"),
    (f"{WEB}.bridge", BRIDGE, f"mesh.{WEB}.bridge", "leads to a gRPC service", "write `routes`"),
    ("services.queue.bridge", BRIDGE, "mesh.services.queue.bridge", "this one speaks tcp", "remove it"),
    ("services.grpc-1.bridge", BRIDGE | {"prefix": "/"}, "mesh.services.grpc-1.bridge.prefix", "one or more segments", "/grpc-1"),
    ("services.grpc-1.bridge", BRIDGE | {"prefix": "/a:b"}, "mesh.services.grpc-1.bridge.prefix", "letters, digits and", "/grpc-1"),
    ("services.grpc-1.bridge", BRIDGE | {"prefix": "/web"}, "mesh.services.grpc-1.bridge.prefix", "the same prefix", "another"),
    ("services.grpc-1.bridge", BRIDGE | {"proto": "../x.proto"}, "mesh.services.grpc-1.bridge.proto", "inside the repo", "info.proto"),
    ("services.grpc-1.bridge", BRIDGE | {"proto": "apps/protos"}, "mesh.services.grpc-1.bridge.proto", "a .proto file", "info.proto"),
    ("services.grpc-1.bridge", BRIDGE | {"auth": "jwt"}, "mesh.services.grpc-1.bridge.auth", "no issuer", "edge.auth"),
    ("edge.rateLimits", [{"requests": 0}], "mesh.edge.rateLimits[0].requests", "greater than or equal to 1", "requests: 100"),
    ("edge.rateLimits", [{"requests": 9, "by": "user"}], "mesh.edge.rateLimits[0].by", "claim:<name>", "client"),
    ("edge.rateLimits", [{"requests": 9, "per": "10ms"}], "mesh.edge.rateLimits[0].per", "no faster than in 50ms", "per: 1s"),
    ("edge.rateLimits", [{"requests": 3, "by": "mesh"}], "mesh.edge.rateLimits[0].requests", "twice their number (2)", "write 4 or more"),
    ("edge.rateLimits", [{"requests": 9, "by": "claim:sub"}], "mesh.edge.rateLimits[0].by", "nobody has a token", "client"),
    (
        f"{WEB}.routes",
        [{"prefix": "/w", "rateLimits": [{"requests": 9, "by": "claim:sub"}]}],
        f"mesh.{WEB}.routes[0].rateLimits[0].by",
        "the route is public",
        "auth: jwt",
    ),
    ("edge.rateLimitService", {"address": "limits"}, "mesh.edge.rateLimitService.address", "host:port", "limits.example.com:8081"),
    (f"{WEB}.routes", [{"prefix": "/w", "authorize": True}], f"mesh.{WEB}.routes[0].authorize", "no authorizer", "authorizer: {address"),
    (
        f"{WEB}.routes",
        [{"prefix": "/w", "cors": {"origins": ["*"], "credentials": True}}],
        f"mesh.{WEB}.routes[0].cors.credentials",
        "every site could act",
        "list the origins",
    ),
    (
        f"{WEB}.routes",
        [{"prefix": "/w", "csrf": {"origins": ["*"]}}],
        f"mesh.{WEB}.routes[0].csrf.origins[0]",
        "scheme://host",
        "https://app",
    ),
    (f"{WEB}.calls", ["apii"], f"mesh.{WEB}.calls[0]", "no service of the mesh", "did you mean 'api'?"),
    (f"{WEB}.calls", ["web"], f"mesh.{WEB}.calls[0]", "call itself", "remove it"),
    (f"{WEB}.calls", ["api", "api"], f"mesh.{WEB}.calls[1]", "in the list already", "remove it"),
    (f"{WEB}.calls", "api", f"mesh.{WEB}.calls", "valid list", "[grpc-1, postgres]"),
    ("database", REMOVED, f"mesh.{WEB}.calls[2]", "no database", "database: {engine: postgres"),
    (f"{WEB}.health", {"path": "ready"}, f"mesh.{WEB}.health.path", "starts with /", "/ready"),
    (f"{WEB}.health", {"expected": 42}, f"mesh.{WEB}.health.expected", "greater than or equal to 100", "expected: 200"),
    ("services.grpc-1.health", {"path": "/x"}, "mesh.services.grpc-1.health", "grpc.health.v1", "remove it"),
    ("services.queue.health", {"path": "/x"}, "mesh.services.queue.health", "TCP connect", "remove it"),
    (f"{WEB}.metrics", "metrics", f"mesh.{WEB}.metrics", "starts with /", "/metrics"),
    ("services.grpc-1.metrics", "/metrics", "mesh.services.grpc-1.metrics", "speaks grpc", "remove it"),
    (f"{WEB}.env", {"VERSION": 1.4}, f"mesh.{WEB}.env.VERSION", "must be text", '"1.4"'),
    (f"{WEB}.env", {"1ST": "x"}, f"mesh.{WEB}.env.1ST", "starts with no digit", "LOG_LEVEL"),
    (f"{WEB}.env", {"PORT": "1"}, f"mesh.{WEB}.env.PORT", "the mesh sets this variable", "another name"),
    (f"{WEB}.env", {"MESH_X": "1"}, f"mesh.{WEB}.env.MESH_X", "the mesh sets this variable", "another name"),
    (f"{WEB}.env", {"PGUSER": "me"}, f"mesh.{WEB}.env.PGUSER", "the mesh sets this variable", "another name"),
    (f"{WEB}.secrets", {"KEY": "no path"}, f"mesh.{WEB}.secrets.KEY", "SSM parameter's name", "/team/api-key"),
    (f"{WEB}.instanceType", "t3", f"mesh.{WEB}.instanceType", "family.size", "t3.small"),
    (f"{WEB}.command", [], f"mesh.{WEB}.command", "at least 1 item", "serve"),
    (f"{WEB}.prot", 80, f"mesh.{WEB}.prot", "not known here", "did you mean 'port'?"),
    ("database.engine", "mysql", "mesh.database.engine", "'postgres'", "postgres"),
    ("database.version", 18, "mesh.database.version", "must be text", '"18"'),
    ("database.version", "9", "mesh.database.version", "is one of 14", '"18"'),
    (
        "machines.images",
        {"postgres": "postgres:17.2"},
        "mesh.machines.images.postgres",
        "is Postgres 17, `database.version`",
        "postgres:18",
    ),
    ("database.storage", "20GB", "mesh.database.storage", "GiB or TiB", "20GiB"),
    ("database.storage", "17TiB", "mesh.database.storage", "at most 16384 GiB", "16TiB"),
    ("observability.prometheus.retention", "two weeks", "mesh.observability.prometheus.retention", "h, d, w or y", "15d"),
    ("quotas", {"elasticIps": 0}, "mesh.quotas.elasticIps", "greater than or equal to 1", "elasticIps: 5"),
    ("quotas", {"rulesPerGroup": 6}, f"mesh.{WEB}.calls", "security group", "rulesPerGroup"),
    ("production", True, "mesh.services.api.image.ref", "by digest", "registry/api@sha256:<digest>"),
    ("production", "yes", "mesh.production", "valid boolean", "production: true"),
    ("service", {}, "mesh.service", "not known here", "did you mean 'services'?"),
    (f"{WEB}.routes", [{"prefix": "/a", "auth": "jwt"}], f"mesh.{WEB}.routes[0].auth", "no issuer whose tokens", "mesh.edge.auth"),
    (f"{WEB}.routes", [{"prefix": "/a", "require": {"scopes": ["x"]}}], f"mesh.{WEB}.routes[0].require", "no token that", "auth: jwt"),
    (f"{WEB}.routes", [{"prefix": "/a", "require": {}}], f"mesh.{WEB}.routes[0].require", "requires nothing", "scopes"),
    (f"{WEB}.routes", [{"prefix": "/a", "auth": "password"}], f"mesh.{WEB}.routes[0].auth", "'jwt' or 'login'", "jwt"),
    ("edge.auth", {"issuer": "login.example.com", "audiences": ["a"]}, "mesh.edge.auth.issuer", "https URL", "https://login.example.com"),
    ("edge.auth", {"issuer": "http://example.com", "audiences": ["a"]}, "mesh.edge.auth.issuer", "https URL", "https://"),
    ("edge.auth", {"issuer": "builtin", "audiences": []}, "mesh.edge.auth.audiences", "at least 1 item", "[mesh]"),
    ("edge.auth", {"issuer": "builtin", "audiences": ["a"], "jwks": "https://a.example"}, "mesh.edge.auth.jwks", "are known", "remove"),
    (
        "edge.auth",
        {"issuer": "builtin", "audiences": ["a"], "login": {"clientId": "mesh", "clientSecret": "/a"}},
        "mesh.edge.auth.login.clientSecret",
        "made with the stack",
        "remove",
    ),
    ("edge.auth", ISSUER | {"login": {"clientId": "a"}}, "mesh.edge.auth.login.clientSecret", "a secret", "/team/oauth-secret"),
    ("edge.auth", ISSUER | {"tokenEndpoint": "https://a.example"}, "mesh.edge.auth", "nobody asks for them", "login"),
    ("edge.auth", ISSUER | LOGIN | {"tokenEndpoint": "https://a.example"}, "mesh.edge.auth", "two endpoints", "authorizationEndpoint"),
    ("edge.auth", ISSUER | LOGIN | {"jwks": "https://a.example"}, "mesh.edge.auth.jwks", "nothing is discovered", "remove `jwks`"),
    ("edge.auth", ISSUER | {"issuer": "https://a.example:8443"}, "mesh.edge.auth.issuer", "port 443 alone", "at that port"),
    ("edge.auth", ISSUER | {"claimsToHeaders": {"user": "sub"}}, "mesh.edge.auth.claimsToHeaders.user", "starts with x-", "x-user"),
    (
        "edge.auth",
        ISSUER | {"claimsToHeaders": {"x-jwt-payload": "sub"}},
        "mesh.edge.auth.claimsToHeaders.x-jwt-payload",
        "the whole payload",
        "x-user",
    ),
]


def changed(place: str, value: Any) -> dict[str, Any]:
    """The good config with one place set to `value`, or taken out."""
    config: dict[str, Any] = copy.deepcopy(GOOD)
    *parents, last = place.split(".") if not place.startswith("services.") else ["services", *place[len("services.") :].split(".")]
    target = config
    for parent in parents:
        target = target[parent]
    if value is REMOVED:
        del target[last]
    else:
        target[last] = value
    return config


def test_the_good_config_is_good() -> None:
    mesh = read_mesh(GOOD)
    assert mesh.services["web"].image.local_command == "python -m apps.http_service"
    assert read_mesh(mesh.document()) == mesh


@pytest.mark.parametrize(("place", "value", "path", "rule", "fix"), MISTAKES)
def test_a_mistake_is_named_with_its_place_value_rule_and_fix(place: str, value: Any, path: str, rule: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_mesh(changed(place, value))
    found = [problem for problem in caught.value.problems if problem.path == path]
    assert found, f"no problem at {path}: {caught.value}"
    problem = next((problem for problem in found if rule in problem.rule), found[0])
    assert rule in problem.rule
    assert fix in problem.fix
    assert problem.value
    assert str(problem) in str(caught.value)


def test_all_mistakes_are_told_at_once_also_those_between_values_that_are_right_in_themselves() -> None:
    config = changed("domain", "mesh")
    config["services"]["web"] |= {"port": "x", "replicas": {"min": 5, "max": 1}}
    config["services"]["api"]["calls"] = ["nobody"]
    with pytest.raises(ConfigError) as caught:
        read_mesh(config)
    assert [problem.path for problem in caught.value.problems] == [
        "mesh.domain",
        "mesh.services.api.calls[0]",
        "mesh.services.web.port",
        "mesh.services.web.replicas",
    ]


def test_an_acme_stack_reaches_its_authority_and_serves_only_domains_that_it_orders() -> None:
    config = changed("edge.tls", {"mode": "acme", "acme": ACME})
    config["services"]["web"]["routes"] = [{"prefix": "/w", "domains": ["a.example.com"]}]
    assert read_mesh(config).edge.tls.mode == "acme"
    config["services"]["web"]["routes"][0]["domains"] = ["b.example.com"]
    with pytest.raises(ConfigError, match=r"no certificate of the edge .* add it to mesh\.edge\.tls\.acme\.domains"):
        read_mesh(config)
    config["services"]["web"]["routes"][0]["domains"] = []
    config["network"]["nat"] = "none"
    with pytest.raises(ConfigError, match=r"`network\.nat` is none"):
        read_mesh(config)
    config["network"] = {"cidr": "127.20.0.0/16"}
    with pytest.raises(ConfigError, match=r"has no public zone"):
        read_mesh(config, local=True)


def test_a_prefix_may_stand_once_for_each_domain_and_once_for_all_others() -> None:
    config = changed("edge.tls", {"certificates": [{"domains": ["shop.example.com"], "secret": "/team/shop"}]})
    prefix = "/same"
    config["services"]["web"]["routes"] = [{"prefix": prefix}, {"prefix": prefix, "domains": ["dev.mesh.internal"]}]
    config["services"]["api"]["routes"] = [{"prefix": prefix, "domains": ["shop.example.com", "a.dev.mesh.internal"]}]
    assert read_mesh(config).services["api"].routes[0].domains == ["shop.example.com", "a.dev.mesh.internal"]


def test_in_mode_secret_any_domain_may_have_routes_since_only_its_certificate_says_what_it_is_for() -> None:
    config = changed("edge.tls", {"mode": "secret", "secret": "/team/edge-tls"})
    config["services"]["web"]["routes"] = [{"prefix": "/w", "domains": ["shop.example.com"]}]
    assert read_mesh(config).edge.tls.secret == "/team/edge-tls"


def test_two_called_tcp_services_cannot_share_a_port_of_the_callers_loopback() -> None:
    config = changed("services.web.calls", ["queue", "cache"])
    config["services"]["cache"] = {"protocol": "tcp", "image": {"ref": "cache:1"}, "port": 6379}
    with pytest.raises(ConfigError, match=r"TCP port 6379 .* belongs to the TCP service queue"):
        read_mesh(config)


def test_groups_larger_than_the_subnets_are_refused_with_the_sum() -> None:
    config = changed("network.cidr", "10.20.0.0/20")
    for index in range(4):
        config["services"][f"big-{index}"] = {"image": {"ref": "big:1"}, "port": 8080, "replicas": {"min": 1, "max": 100}}
    with pytest.raises(ConfigError, match=r"have 502 addresses, all groups at `max` and in a refresh take 624"):
        read_mesh(config)


def test_routes_keep_off_the_paths_of_logins_and_of_the_builtin_issuer() -> None:
    config = changed("edge.auth", {"issuer": "builtin", "audiences": ["mesh"], "login": {"clientId": "mesh"}})
    config["services"]["web"]["routes"] = [{"prefix": "/identity/x"}, {"prefix": "/oauth2"}, {"prefix": "/identityx", "auth": "login"}]
    with pytest.raises(ConfigError) as caught:
        read_mesh(config)
    assert [problem.path for problem in caught.value.problems] == [f"mesh.{WEB}.routes[0].prefix", f"mesh.{WEB}.routes[1].prefix"]


def test_a_login_needs_a_client_at_the_issuer() -> None:
    config = changed("edge.auth", ISSUER)
    config["services"]["web"]["routes"][0]["auth"] = "login"
    with pytest.raises(ConfigError, match=r"the edge has no login.*clientId"):
        read_mesh(config)


def test_an_issuer_that_control_planes_cannot_reach_is_written_out() -> None:
    config = changed("edge.auth", ISSUER)
    config["network"]["nat"] = "none"
    with pytest.raises(ConfigError, match=r"edge.auth.issuer .* no control plane reaches the issuer"):
        read_mesh(config)
    config["edge"]["auth"] = ISSUER | {"jwks": "https://login.example.com/jwks"}
    read_mesh(config)


def test_production_refuses_the_builtin_issuer() -> None:
    config = changed("edge.auth", {"issuer": "builtin", "audiences": ["mesh"]}) | {"production": True}
    with pytest.raises(ConfigError, match=r"edge.auth.issuer = 'builtin': .* everybody in who knows one password"):
        read_mesh(config)


def test_a_local_stack_needs_loopback_and_a_command_for_each_pulled_image() -> None:
    with pytest.raises(ConfigError) as caught:
        read_mesh(GOOD, local=True)
    assert [problem.path for problem in caught.value.problems] == [
        "mesh.network.cidr",
        "mesh.services.api.image",
        "mesh.services.queue.image",
    ]


def test_a_local_stack_has_the_postgres_that_it_has() -> None:
    config = changed("database.version", "17")
    with pytest.raises(ConfigError) as caught:
        read_mesh(config, local=True)
    (problem,) = [problem for problem in caught.value.problems if problem.path == "mesh.database.version"]
    assert "the Postgres of a local stack is 18" in problem.rule


def test_the_databases_version_names_its_image_where_none_is_named() -> None:
    config = changed("database.version", "16")
    assert read_mesh(config).images["postgres"] == "postgres:16"
    config["machines"]["images"] = {"postgres": "registry/postgres-ha:2.1"}
    assert read_mesh(config).images["postgres"] == "registry/postgres-ha:2.1"


@pytest.mark.parametrize("data", [None, [], "mesh", 3])
def test_a_config_that_is_no_mapping_is_refused(data: object) -> None:
    with pytest.raises(ConfigError, match="a mesh is a mapping"):
        read_mesh(data)
