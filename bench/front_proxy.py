"""What the mesh's edge is measured against: the shape of Envoy's front-proxy sandbox; and the program behind all contenders."""

from collections.abc import Iterable
from typing import Any

ADMIN = 9901
FRONT_PORT = 8080
BODY = (
    '{"service":"web","instance_id":"i-0123456789abcdef0","zone":"eu-central-1a","address":"10.20.64.21","items":['
    + ",".join(f'{{"id":{number},"name":"item {number}"}}' for number in range(6))
    + "]}"
)
"""About 300 bytes."""
KEYS_PATH = "/keys"
_TYPE = "type.googleapis.com/envoy.extensions.filters"


def bare(address: str, upstream: tuple[str, int]) -> dict[str, Any]:
    """Plain HTTP in and out, routes by prefix, the router and nothing else."""
    routes = [{"match": {"prefix": f"/service/{number}"}, "route": {"cluster": f"service{number}"}} for number in (1, 2)]
    host, port = upstream
    clusters = [
        {
            "name": f"service{number}",
            "type": "STRICT_DNS",
            "lb_policy": "ROUND_ROBIN",
            "load_assignment": {
                "cluster_name": f"service{number}",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(host, port)}}]}],
            },
        }
        for number in (1, 2)
    ]
    listener = {"address": _socket(address, FRONT_PORT), "filter_chains": [_http("ingress_http", routes)]}
    return {"admin": {"address": _socket(address, ADMIN)}, "static_resources": {"listeners": [listener], "clusters": clusters}}


def upstream(places: Iterable[tuple[str, int]], keys: str) -> dict[str, Any]:
    """The app of every contender: an Envoy that answers by itself, over HTTP/1.1 or HTTP/2, and costs little."""
    (address, port), *others = places
    routes = [_answer({"path": KEYS_PATH}, keys), _answer({"prefix": "/"}, BODY)]
    listener = {
        "address": _socket(address, port),
        "additional_addresses": [{"address": _socket(*place)} for place in others],
        "filter_chains": [_http("app", routes)],
    }
    return {"static_resources": {"listeners": [listener]}}


def _http(name: str, routes: list[dict[str, Any]]) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO",
        "route_config": {"name": "local_route", "virtual_hosts": [{"name": "backend", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}}],
    }
    return {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}


def _answer(match: dict[str, str], body: str) -> dict[str, Any]:
    kind = {"header": {"key": "content-type", "value": "application/json"}}
    return {"match": match, "direct_response": {"status": 200, "body": {"inline_string": body}}, "response_headers_to_add": [kind]}


def _socket(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}
