"""Protos of bridges: what is compiled of them, and what is refused before anything is deployed."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from model import http_rules
from model.proto_files import ProtoRefused, compile_bridges, compile_proto
from model.read import read_mesh
from model.spec import MeshSpec

HEAD = 'syntax = "proto3"; package shop.v1; import "google/api/annotations.proto"; message M { string a = 1; M b = 2; }\n'


def method(options: str, name: str = "Get") -> str:
    return f"rpc {name}(M) returns (M) {{ option (google.api.http) = {{ {options} }}; }}\n"


def service(*methods: str, name: str = "Shop") -> str:
    return f"{HEAD}service {name} {{ {''.join(methods)} }}"


def mesh(*, web: list[dict[str, Any]] | None = None, **protos: str) -> MeshSpec:
    """Bridges by their protos, and an HTTP service with the routes `web`."""
    services: dict[str, Any] = {"web": {"image": {"ref": "x:1"}, "port": 8080, "routes": web or []}} | {
        name: {"protocol": "grpc", "image": {"ref": "x:1"}, "port": 50051, "bridge": {"prefix": f"/{name}", "proto": proto}}
        for name, proto in protos.items()
    }
    data = {"domain": "t.mesh.internal", "network": {"cidr": "10.20.0.0/16"}, "machines": {"ami": "ami-0123456789abcdef0"}}
    return read_mesh(data | {"services": services})


def paths(descriptors: bytes) -> list[str]:
    from google.api import annotations_pb2

    found = FileDescriptorSet.FromString(descriptors).file[-1]
    rules = [method.options.Extensions[annotations_pb2.http] for service in found.service for method in service.method]
    every = [one for rule in rules for one in (rule, *rule.additional_bindings)]
    return [one.custom.path if one.WhichOneof("pattern") == "custom" else getattr(one, str(one.WhichOneof("pattern"))) for one in every]


def test_the_sample_of_the_repository_compiles_to_a_small_descriptor() -> None:
    compiled = compile_proto(Path(__file__).parents[2], "apps/protos/info.proto")
    assert http_rules.services_of(compiled) == ["mesh.info.v1.Info"]
    assert len(compiled) < 1000
    assert [file.name for file in FileDescriptorSet.FromString(compiled).file] == ["apps/protos/info.proto"]


def test_every_path_moves_below_the_prefix_and_a_method_without_one_gets_its_name(tmp_path: Path) -> None:
    custom = 'additional_bindings { custom { kind: "LIST" path: "/v3" } }'
    annotated = method('get: "/v1/{a}:do" additional_bindings { put: "/v2/{b.a=x/**}" body: "*" } ' + custom)
    (tmp_path / "shop.proto").write_text(service(annotated, "rpc Ping(M) returns (M);"))
    moved = http_rules.below("/shop", compile_proto(tmp_path, "shop.proto"))
    assert paths(moved) == ["/shop/v1/{a}:do", "/shop/v2/{b.a=x/**}", "/shop/v3", "/shop/shop.v1.Shop/Ping"]


def test_imports_are_found_beside_the_proto_and_from_the_root(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/near.proto").write_text(
        'syntax = "proto3"; package a; import "google/protobuf/timestamp.proto"; message Near { google.protobuf.Timestamp at = 1; }'
    )
    (tmp_path / "far.proto").write_text('syntax = "proto3"; package a; message Far {}')
    (tmp_path / "deep/shop.proto").write_text(
        'syntax = "proto3"; package a; import "near.proto"; import "far.proto"; service S { rpc Get(Near) returns (Far); }'
    )
    files = [file.name for file in FileDescriptorSet.FromString(compile_proto(tmp_path, "deep/shop.proto")).file]
    assert files[-1] == "deep/shop.proto"
    assert {"near.proto", "far.proto", "google/protobuf/timestamp.proto"} <= set(files)


def test_a_message_that_uses_the_descriptors_own_types_keeps_their_file(tmp_path: Path) -> None:
    text = 'syntax = "proto3"; import "google/protobuf/descriptor.proto"; message M { google.protobuf.FileDescriptorSet s = 1; }'
    (tmp_path / "shop.proto").write_text(text + "service S { rpc Get(M) returns (M); }")
    files = [file.name for file in FileDescriptorSet.FromString(compile_proto(tmp_path, "shop.proto")).file]
    assert files == ["google/protobuf/descriptor.proto", "shop.proto"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (None, "no such file"),
        ("service {", "protoc does not compile it (shop.proto:1"),
        ('import "nowhere.proto";', "nowhere.proto"),
        (HEAD, "no service"),
        (service(method('get: "v1/x"')), "shop.v1.Shop.Get: GET v1/x is no path template"),
        (service(method('get: "/v1/{a"')), "no path template"),
        (service(method('get: "/v1//x"')), "no path template"),
        (service(method('get: "/v1/{c}"')), "names c, which shop.v1.M does not have"),
        (service(method('get: "/v1/{b.c}"')), "names b.c"),
        (service(method('get: "/v1/{a.b}"')), "names a.b"),
        (service(method('post: "/v1/x" body: "c"')), "takes c from the body"),
        (service(method('get: "/v1/{a}"'), method('get: "/v1/{b.a}"', "Other")), "is also the path of shop.v1.Shop.Get"),
    ],
)
def test_a_proto_that_no_bridge_can_serve_is_refused_with_its_reason(tmp_path: Path, text: str | None, rule: str) -> None:
    if text is not None:
        (tmp_path / "shop.proto").write_text(text)
    with pytest.raises(ProtoRefused) as refused:
        compile_proto(tmp_path, "shop.proto")
    assert rule in str(refused.value)
    compiled, [problem] = compile_bridges(mesh(shop="shop.proto"), tmp_path)
    assert not compiled
    assert (problem.path, problem.value) == ("mesh.services.shop.bridge.proto", "'shop.proto'")
    assert "mend the proto" in problem.fix


def test_two_bridges_of_one_grpc_service_would_share_its_native_path(tmp_path: Path) -> None:
    (tmp_path / "shop.proto").write_text(service(method('get: "/v1"')))
    _, [problem] = compile_bridges(mesh(one="shop.proto", two="shop.proto"), tmp_path)
    assert problem.path == "mesh.services.two.bridge.proto"
    assert "shop.v1.Shop" in problem.rule
    assert "leads to one" in problem.rule


@pytest.mark.parametrize("prefix", ["/shop.v1.Shop", "/shop.v1.Shop/Get"])
def test_no_route_takes_the_path_by_which_grpc_clients_reach_a_bridge(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "shop.proto").write_text(service(method('get: "/v1"')))
    domains = ["a.t.mesh.internal"]
    _, problems = compile_bridges(mesh(shop="shop.proto", web=[{"prefix": "/"}, {"prefix": prefix, "domains": domains}]), tmp_path)
    [problem] = problems
    assert (problem.path, problem.value) == ("mesh.services.web.routes[1].prefix", repr(prefix))
    assert problem.rule == "/shop.v1.Shop and all below it is where gRPC clients reach mesh.services.shop.bridge"
    assert "another prefix" in problem.fix


def test_a_bridges_prefix_is_not_its_own_native_path(tmp_path: Path) -> None:
    (tmp_path / "shop.proto").write_text(service(method('get: "/v1"'), name="shop").replace("package shop.v1; ", ""))
    _, [problem] = compile_bridges(mesh(shop="shop.proto"), tmp_path)
    assert (problem.path, problem.value) == ("mesh.services.shop.bridge.prefix", "'/shop'")


def test_routes_beside_a_native_path_are_others(tmp_path: Path) -> None:
    (tmp_path / "shop.proto").write_text(service(method('get: "/v1"')))
    routes = [{"prefix": prefix} for prefix in ("/", "/shop.v1", "/shop.v1.Shopping", "/x/shop.v1.Shop")]
    compiled, problems = compile_bridges(mesh(shop="shop.proto", web=routes), tmp_path)
    assert list(compiled) == ["shop"]
    assert not problems
