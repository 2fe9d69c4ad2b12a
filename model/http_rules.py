"""`google.api.http` annotations of a compiled proto: which JSON paths its methods have, and what is wrong with them.

Descriptors here are a `FileDescriptorSet` whose last file is the one that was compiled.
"""

import re
from collections.abc import Iterator

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

VERBS = ("get", "put", "post", "delete", "patch")

_SEGMENT = r"(?:\*\*|\*|[A-Za-z0-9_.~%-]+)"
_SEGMENTS = rf"{_SEGMENT}(?:/{_SEGMENT})*"
_VARIABLE = rf"\{{(?P<field>[A-Za-z0-9_.]+)(?:=(?P<pattern>{_SEGMENTS}))?\}}"
_TEMPLATE = re.compile(rf"(?:/(?:{re.sub(r'[?]P<[a-z]+>', '?:', _VARIABLE)}|{_SEGMENT}))+(?::[A-Za-z0-9_.~-]+)?")


def services_of(descriptors: bytes) -> list[str]:
    """Full names of the services in the compiled file."""
    file = _read(descriptors).file[-1]
    return [f"{file.package}.{service.name}".lstrip(".") for service in file.service]


def native_paths(descriptors: bytes) -> list[str]:
    """`/<package.Service>` of each of them: their methods are below it."""
    return [f"/{name}" for name in services_of(descriptors)]


def below(prefix: str, descriptors: bytes) -> bytes:
    """The same, with every JSON path below `prefix`; a method without annotation gets `POST /<package.Service>/<Method>`."""
    found = _read(descriptors)
    root = prefix.rstrip("/")
    for service, method in _methods(found):
        rule = method.options.Extensions[annotations_pb2.http]
        if not rule.WhichOneof("pattern"):
            rule.post, rule.body = f"/{service}/{method.name}", "*"
        for one in (rule, *rule.additional_bindings):
            kind = one.WhichOneof("pattern")
            if kind == "custom":
                one.custom.path = root + one.custom.path
            elif kind:
                setattr(one, kind, root + getattr(one, kind))
    return found.SerializeToString(deterministic=True)


def without_annotations_file(found: FileDescriptorSet) -> FileDescriptorSet:
    """The same, less the files that define the annotation itself: Envoy has them, and they are most of the bytes."""
    ours = ("google/api/annotations.proto", "google/api/http.proto", "google/protobuf/descriptor.proto")
    kept = FileDescriptorSet(file=[file for file in found.file if file.name not in ours])
    used = kept.SerializeToString()
    if b".google.api.Http" in used or any(f".google.protobuf.{name}".encode() in used for name in _NAMES_OF_DESCRIPTOR):
        return found
    for file in kept.file:
        wanted = [name for name in file.dependency if name not in ours]
        del file.dependency[:], file.public_dependency[:], file.weak_dependency[:]
        file.dependency.extend(wanted)
    return kept


def mistakes(descriptors: FileDescriptorSet) -> Iterator[str]:
    """What Envoy would refuse, or never match; each as one sentence that names the method."""
    pool = DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    taken: dict[tuple[str, str], str] = {}
    for service, method in _methods(descriptors):
        request = pool.FindMethodByName(f"{service}.{method.name}").input_type
        rule = method.options.Extensions[annotations_pb2.http]
        for one in (rule, *rule.additional_bindings):
            kind = one.WhichOneof("pattern")
            if kind is None:
                continue
            verb, path = (one.custom.kind, one.custom.path) if kind == "custom" else (kind.upper(), getattr(one, kind))
            where = f"{service}.{method.name}: {verb} {path}"
            yield from (f"{where} {complaint}" for complaint in _complaints(one, path, request))
            key = (verb, re.sub(_VARIABLE, lambda match: match["pattern"] or "*", path))
            if key in taken:
                yield f"{where} is also the path of {taken[key]}"
            taken.setdefault(key, f"{service}.{method.name}")


def _complaints(rule: http_pb2.HttpRule, path: str, request: Descriptor) -> Iterator[str]:
    if not _TEMPLATE.fullmatch(path):
        yield "is no path template: segments are text, *, ** or {field}, and it starts with /"
        return
    for match in re.finditer(_VARIABLE, path):
        if not _has_field(request, match["field"]):
            yield f"names {match['field']}, which {request.full_name} does not have"
    if rule.body not in ("", "*") and not _has_field(request, rule.body):
        yield f"takes {rule.body} from the body, which {request.full_name} does not have"


def _has_field(message: Descriptor | None, path: str) -> bool:
    for part in path.split("."):
        if message is None or part not in message.fields_by_name:
            return False
        message = message.fields_by_name[part].message_type
    return True


def _methods(found: FileDescriptorSet) -> Iterator[tuple[str, MethodDescriptorProto]]:
    file = found.file[-1]
    for service in file.service:
        for method in service.method:
            yield f"{file.package}.{service.name}".lstrip("."), method


def _read(descriptors: bytes) -> FileDescriptorSet:
    """Raises ValueError for bytes that are no descriptors."""
    try:
        found = FileDescriptorSet.FromString(descriptors)
    except DecodeError as error:
        raise ValueError(f"not a FileDescriptorSet: {error}") from None
    if not found.file:
        raise ValueError("a FileDescriptorSet without files")
    return found


_NAMES_OF_DESCRIPTOR = ("FileDescriptor", "DescriptorProto", "FieldDescriptor", "EnumDescriptor", "ServiceDescriptor", "MethodDescriptor")
