"""Bodies of what the edge answers by itself: JSON for who accepts JSON, a page for browsers, and Envoy's own text for all others.

The page has no text of the request or of Envoy's, which may hold parts of the request; the JSON has Envoy's text.
"""

from envoy.config.accesslog.v3.accesslog_pb2 import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    HeaderFilter,
    ResponseFlagFilter,
    StatusCodeFilter,
)
from envoy.config.core.v3.base_pb2 import DataSource, RuntimeUInt32
from envoy.config.core.v3.substitution_format_string_pb2 import SubstitutionFormatString
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import LocalReplyConfig, ResponseMapper
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.struct_pb2 import Struct

from apps.control_plane.resources.protos import set_header
from model.contract import LOGIN_CALLBACK

FIRST_ERROR = 400
MAINTENANCE_STATUS = 503
MAINTENANCE = "under maintenance\n"
PAGES = {
    401: ("Please log in", "This page is only for people who are logged in."),
    403: ("Not allowed", "You may not see this page."),
    404: ("Not found", "There is nothing at this address."),
    429: ("Too many requests", "Please wait a little and try again."),
    503: ("Not available", "This page is not available at the moment. Please try again in a minute."),
    504: ("Too slow", "The answer took too long. Please try again."),
}
UNFINISHED = ("The login was not finished", "It was done before, or took too long. Please open the page that you wanted once more.")
"""Of a login that comes back and is refused: who goes back to a used login page meets it."""
OTHER = ("Something went wrong", "The request could not be answered.")
BAD_REQUEST = "Bad Request"
"""Envoy itself has no word for some requests that it refuses before anything else."""
REQUEST_ID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def config() -> LocalReplyConfig:
    """The first mapper that fits is used: what the authorizer said stays as it said it, then JSON, then a page."""
    maintenance, json, early = _flagged("FI"), _accepts("application/json"), _has_no_id()
    mappers = [ResponseMapper(filter=_flagged("UAEX"))]
    mappers.append(_in_json(_all_of(maintenance, json), MAINTENANCE))
    mappers += [_in_json(_all_of(_status(400), json, early), BAD_REQUEST), _in_json(_all_of(_status(), json))]
    mappers.append(_page(*OTHER, _status(), early, with_id=False))
    back = _header(HeaderMatcher(name=":path", string_match=StringMatcher(prefix=LOGIN_CALLBACK)))
    mappers.append(_page(*UNFINISHED, _status(401), back))
    mappers += [_page(title, text, _status(status)) for status, (title, text) in PAGES.items()]
    mappers += [_page(*OTHER, _status()), ResponseMapper(filter=maintenance, body=DataSource(inline_string=MAINTENANCE))]
    return LocalReplyConfig(mappers=mappers)


def _in_json(met: AccessLogFilter, error: str = "") -> ResponseMapper:
    """With `error`, or with Envoy's own text."""
    form = Struct()
    form.update({"status": "%RESPONSE_CODE%", "error": "%LOCAL_REPLY_BODY%", "requestId": "%REQ(X-REQUEST-ID)%"})
    body = SubstitutionFormatString(json_format=form, content_type="application/json")
    return ResponseMapper(filter=met, body_format_override=body, body=DataSource(inline_string=error) if error else None)


def _page(title: str, text: str, *met: AccessLogFilter, with_id: bool = True) -> ResponseMapper:
    request = " · request %REQ(X-REQUEST-ID)%" if with_id else ""
    html = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<style>body{font:1rem/1.5 sans-serif;margin:4rem auto;max-width:32rem;padding:0 1rem;overflow-wrap:anywhere}"
        "h1{line-height:1.2}small{color:#666}</style>"
        f"<h1>{title}</h1><p>{text}</p><small>%RESPONSE_CODE%{request}</small></html>\n"
    )
    form = SubstitutionFormatString(text_format_source=DataSource(inline_string=html), content_type="text/html; charset=UTF-8")
    return ResponseMapper(
        filter=_all_of(*met, _accepts("text/html")),
        body_format_override=form,
        headers_to_add=[set_header("content-security-policy", _POLICY), set_header("cache-control", "no-store")],
    )


def _all_of(*met: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=met))


def _status(status: int | None = None) -> AccessLogFilter:
    """This one, or any error."""
    operator = ComparisonFilter.GE if status is None else ComparisonFilter.EQ
    value = RuntimeUInt32(default_value=status or FIRST_ERROR, runtime_key="mesh.error_pages")
    return AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(op=operator, value=value)))


def _flagged(flag: str) -> AccessLogFilter:
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=[flag]))


def _accepts(media_type: str) -> AccessLogFilter:
    """By name."""
    return _header(HeaderMatcher(name="accept", string_match=StringMatcher(contains=media_type)))


def _has_no_id() -> AccessLogFilter:
    """Refused before the edge gave it one: what is there is the client's."""
    own = StringMatcher(safe_regex=RegexMatcher(regex=REQUEST_ID))
    return _header(HeaderMatcher(name="x-request-id", string_match=own, invert_match=True, treat_missing_header_as_empty=True))


def _header(matcher: HeaderMatcher) -> AccessLogFilter:
    return AccessLogFilter(header_filter=HeaderFilter(header=matcher))
