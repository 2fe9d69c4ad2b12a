"""The sample HTTP service's endpoints; each answer is JSON that names the machine and the way the request took."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import psycopg2
from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from apps.common.database import Database
from apps.common.machine import Machine, Postgres, forwarded, machines_passed
from apps.http_service.metrics import CountRequests
from apps.http_service.websocket import router
from apps.protos import info_pb2, info_pb2_grpc

CALL_TIMEOUT_SECONDS = 10
TIME_QUERY = "SELECT version(), now()::text"


def create_app(machine: Machine, postgres: Postgres | None, *, chain_service: str, grpc_service: str) -> FastAPI:
    """The app of one machine.

    `chain_service` and `grpc_service` are the mesh names that `/chain` and `/grpc` call through the sidecar;
    without `postgres`, `/db` answers 501.
    """
    database = Database(postgres) if postgres else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        options = [("grpc.default_authority", grpc_service)]
        async with (
            httpx.AsyncClient(base_url=machine.egress_url, timeout=CALL_TIMEOUT_SECONDS, trust_env=False) as client,
            grpc.aio.insecure_channel(machine.egress_target, options=options) as channel,
        ):
            app.state.client, app.state.info = client, info_pb2_grpc.InfoStub(channel)
            yield
        if database:
            database.close()

    app = FastAPI(title="envoy-mesh sample service", lifespan=lifespan)
    app.add_middleware(CountRequests)
    app.include_router(router(machine))

    def answer(request: Request, **more: Any) -> dict[str, Any]:
        return {
            "service": machine.service,
            "instance_id": machine.instance_id,
            "zone": machine.zone,
            "address": machine.address,
            "url": public_url(request),
            "request_id": request.headers.get("x-request-id"),
            "via": machines_passed(request.headers),
            **more,
        }

    @app.get("/")
    @app.get("/info")
    async def info(request: Request) -> dict[str, Any]:
        return answer(request)

    @app.post("/")
    @app.post("/info")
    async def echo(request: Request) -> dict[str, Any]:
        return answer(request, received_bytes=len(await request.body()))

    @app.get("/headers")
    async def headers(request: Request) -> dict[str, Any]:
        return answer(request, headers=dict(request.headers))

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/chain")
    async def chain(request: Request) -> dict[str, Any]:
        sent = {"host": chain_service, **forwarded(request.headers)}
        try:
            response = await request.app.state.client.get("/info", headers=sent)
        except httpx.HTTPError as error:
            raise HTTPException(502, f"{chain_service} was not reached: {type(error).__name__}") from error
        if response.status_code != httpx.codes.OK:
            raise HTTPException(502, f"{chain_service} answered {response.status_code}: {response.text[:200]}")
        return answer(request, next=response.json())

    @app.get("/grpc")
    async def call_grpc(request: Request, query: bool = False) -> dict[str, Any]:
        method = request.app.state.info.Query if query else request.app.state.info.Get
        metadata = tuple(forwarded(request.headers).items())
        try:
            reply = await method(info_pb2.InfoRequest(), metadata=metadata, timeout=CALL_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise HTTPException(502, f"{grpc_service} answered {error.code().name}: {error.details()}") from error
        fields = {field.name: getattr(reply, field.name) for field in reply.DESCRIPTOR.fields}
        return answer(request, next=fields | {"via": list(reply.via)})

    @app.get("/db")
    async def db(request: Request) -> dict[str, Any]:
        if database is None:
            raise HTTPException(501, f"{machine.service} has no `postgres` in its calls")
        try:
            version, now = await asyncio.to_thread(database.run, _version_and_time)
        except psycopg2.Error as error:
            raise HTTPException(503, f"the database was not reached: {str(error).strip()}") from error
        return answer(request, database={"version": version, "now": now})

    return app


def public_url(request: Request) -> str:
    """The URL as the client wrote it: scheme and prefix as the edge says, since the edge takes the prefix off the path."""
    headers = request.headers
    scheme = headers.get("x-forwarded-proto", request.url.scheme)
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{scheme}://{headers.get('host', '')}{headers.get('x-forwarded-prefix', '')}{request.url.path}{query}"


def _version_and_time(cursor: Any) -> tuple[str, str]:
    cursor.execute(TIME_QUERY)
    version, now = cursor.fetchone()
    return version, now
