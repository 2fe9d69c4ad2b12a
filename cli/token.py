"""`./mesh token`: an access token of the stack's own issuer, asked for as any client would."""

from datetime import timedelta
from pathlib import Path

import boto3
import httpx
import yaml

from cli.console import line
from cli.exits import Exit, Stop
from cli.outputs import read_outputs
from cli.session import Session
from cli.trust import Trust, authority, sni
from cli.workspace import MESH_KEY
from model.contract import IDENTITY_PREFIX, login_parameter
from model.identity import client_id, is_builtin
from model.read import read_mesh
from model.spec import MeshSpec

TIMEOUT_SECONDS = 10.0


class LimitedIssuer(Stop):
    """The edge's own limits let the issuer not hear of the request."""


def token(stack: str, directory: Path | None, *, subject: str, audiences: list[str], scopes: list[str], life: timedelta) -> None:
    """Prints the token and nothing else, so that `$(./mesh token)` is one."""
    line(request_token(Session.open(stack, directory), subject=subject, audiences=audiences, scopes=scopes, life=life))


def request_token(session: Session, *, subject: str, audiences: list[str], scopes: list[str], life: timedelta) -> str:
    """A token for `subject`; no audiences means the stack's own. Raises Stop where the stack has no issuer or it refuses."""
    mesh = deployed_mesh(session)
    if not is_builtin(mesh):
        raise Stop(
            f"the stack {session.stack!r} has no issuer of its own: its config says no `edge.auth: {{issuer: builtin}}`; "
            "ask the issuer that it names for a token",
            Exit.USAGE,
        )
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id(mesh),
        "client_secret": _client_secret(session),
        "sub": subject,
        "scope": " ".join(scopes),
        "audience": " ".join(audiences),
        "ttl": str(int(life.total_seconds())),
    }
    outputs = read_outputs(session)
    edge, trust = outputs["edgeUrls"][0], Trust(ca=outputs["caCertificate"], edge=mesh.edge)
    host, url = trust.usual_host(edge), f"{edge}{IDENTITY_PREFIX}/token"
    try:
        with httpx.Client(verify=trust.context(edge, host), timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            answer = client.post(url, data=form, headers={"host": authority(edge, host)}, extensions=sni(host))
    except httpx.HTTPError as error:
        raise Stop(f"the issuer at {url} was not reached: {type(error).__name__}; `{session.words('status')}` shows its machine") from error
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise LimitedIssuer(f"the edge's limits let nobody ask the issuer for the next {answer.headers.get('x-ratelimit-reset', '?')} s")
    if answer.status_code != httpx.codes.OK:
        raise Stop(f"the issuer refused: {answer.status_code} {answer.text[:200]}")
    return str(answer.json()["access_token"])


def deployed_mesh(session: Session) -> MeshSpec:
    """The mesh as the last `up` deployed it, which the config may have left behind since."""
    try:
        content = yaml.safe_load((session.state.workspace / f"Pulumi.{session.stack}.yaml").read_text())
    except FileNotFoundError:
        raise Stop(f"the stack {session.stack!r} is not up; `{session.words('up')}` starts it") from None
    return read_mesh(content["config"][MESH_KEY], local=True)


def _client_secret(session: Session) -> str:
    cloud = session.supervisor().status()
    ssm = boto3.client("ssm", endpoint_url=cloud.cloud_url, region_name=cloud.region)
    answer = ssm.get_parameter(Name=login_parameter(session.stack, "client-secret"), WithDecryption=True)
    return str(answer["Parameter"]["Value"])
