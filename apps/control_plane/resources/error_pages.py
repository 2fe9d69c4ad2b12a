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
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.struct_pb2 import Struct

from apps.control_plane.resources.protos import set_header
from model.contract import LOGIN_CALLBACK

FIRST_ERROR = 400
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

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def config() -> LocalReplyConfig:
    """The first mapper that fits is used: what the authorizer said stays as it said it, then JSON, then a page."""
    authorizer = AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=["UAEX"]))
    mappers = [ResponseMapper(filter=authorizer), ResponseMapper(filter=_wanted("application/json"), body_format_override=_json())]
    mappers.append(_page(*UNFINISHED, 401, HeaderMatcher(name=":path", string_match=StringMatcher(prefix=LOGIN_CALLBACK))))
    mappers += [_page(title, text, status) for status, (title, text) in PAGES.items()]
    mappers.append(_page(*OTHER))
    return LocalReplyConfig(mappers=mappers)


def _json() -> SubstitutionFormatString:
    form = Struct()
    form.update({"status": "%RESPONSE_CODE%", "error": "%LOCAL_REPLY_BODY%", "requestId": "%REQ(X-REQUEST-ID)%"})
    return SubstitutionFormatString(json_format=form, content_type="application/json")


def _page(title: str, text: str, status: int | None = None, *asked: HeaderMatcher) -> ResponseMapper:
    html = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<style>body{font:1rem/1.5 sans-serif;margin:4rem auto;max-width:32rem;padding:0 1rem;overflow-wrap:anywhere}"
        "h1{line-height:1.2}small{color:#666}</style>"
        f"<h1>{title}</h1><p>{text}</p><small>%RESPONSE_CODE% · request %REQ(X-REQUEST-ID)%</small></html>\n"
    )
    form = SubstitutionFormatString(text_format_source=DataSource(inline_string=html), content_type="text/html; charset=UTF-8")
    return ResponseMapper(
        filter=_wanted("text/html", status, *asked),
        body_format_override=form,
        headers_to_add=[set_header("content-security-policy", _POLICY), set_header("cache-control", "no-store")],
    )


def _wanted(media_type: str, status: int | None = None, *asked: HeaderMatcher) -> AccessLogFilter:
    """Errors (or those of one status) of requests that accept the media type by name and are as `asked`."""
    accept = HeaderMatcher(name="accept", string_match=StringMatcher(contains=media_type))
    operator = ComparisonFilter.GE if status is None else ComparisonFilter.EQ
    value = RuntimeUInt32(default_value=status or FIRST_ERROR, runtime_key="mesh.error_pages")
    met = [AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(op=operator, value=value)))]
    met += [AccessLogFilter(header_filter=HeaderFilter(header=header)) for header in (accept, *asked)]
    return AccessLogFilter(and_filter=AndFilter(filters=met))
