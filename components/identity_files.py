"""What the machine of the built-in issuer boots from. Pure."""

from components.compose_files import RUN, SECRETS_ENV, ContainerImage, Containers
from components.log_groups import log_group_name
from components.machine_files import Built, StackFacts
from components.user_data import MachineFiles
from model.contract import IDENTITY_PORT, LABEL_READY, Role, login_parameter
from model.identity import client_id, issuer_url

SERVICE = "identity"
KEYS_FILE = "identity/keys.pem"
"""Below the run directory."""


def identity(facts: StackFacts, built: Built) -> MachineFiles:
    """The machine whose one program is the issuer."""
    mesh, auth = facts.mesh, facts.mesh.edge.auth
    if auth is None:
        raise ValueError("the mesh has no edge.auth; ask before building an issuer")
    containers = Containers(
        agent=ContainerImage(ref=built.agent, local_command="python -m apps.agent"),
        log_group=log_group_name(facts.stack, Role.IDENTITY, SERVICE),
        region=facts.region,
        is_local=mesh.is_local,
    )
    life = {} if auth.token_life is None else {"IDENTITY_TOKEN_SECONDS": f"{auth.token_life:.0f}"}
    program = containers.prepared(
        ContainerImage(ref=built.app, local_command="python -m apps.identity"),
        user=f"{containers.user}:{containers.user}",
        env_file=[{"path": SECRETS_ENV, "required": False}],
        environment={
            "HOST": "${MESH_ADDRESS}",
            "PORT": str(IDENTITY_PORT),
            "IDENTITY_ISSUER": issuer_url(mesh),
            "IDENTITY_KEYS": f"{RUN}/{KEYS_FILE}",
            "IDENTITY_AUDIENCES": " ".join(auth.audiences).replace("$", "$$"),
            "IDENTITY_CLIENT_ID": client_id(mesh).replace("$", "$$"),
            "IDENTITY_REDIRECTS": built.redirects,
            **life,
        },
        volumes=[f"{RUN}:{RUN}:ro"],
        labels={LABEL_READY: f"http://${{MESH_ADDRESS}}:{IDENTITY_PORT}/health"},
    )
    secrets = {"IDENTITY_CLIENT_SECRET": "client-secret", "IDENTITY_PASSWORD": "password"}
    return MachineFiles(
        machine=f"{Role.IDENTITY}/{SERVICE}",
        compose=containers.file({SERVICE: program}),
        agent={
            "files": {KEYS_FILE: {"parameter": login_parameter(facts.stack, "signing-key")}},
            "environment": {variable: {"parameter": login_parameter(facts.stack, item)} for variable, item in secrets.items()},
            "owner": containers.user,
            "address": built.address,
        },
        address=built.address,
        own_loopback=mesh.is_local,
    )
