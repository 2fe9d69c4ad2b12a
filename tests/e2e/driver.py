"""Drives a stack from a clone of its own, as a user does: by `./mesh`, by requests, by the AWS API of its cloud."""

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import yaml

REPO = Path(__file__).resolve().parents[2]
UP_SECONDS = 300
REAL_LOOKING = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "a-session",
    "AWS_PROFILE": "production",
}
"""Documented example keys in the caller's environment: no verb may hand them on."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A clone with a state directory, and what tests do with it."""

    clone: Path
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **REAL_LOOKING}

    def words(self, *words: str) -> list[str]:
        return [str(self.clone / "mesh"), *words, "--state", str(self.state)]

    def mesh(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs `./mesh …` and expects an exit code."""
        done = subprocess.run(
            self.words(*words), cwd=self.clone, env=self.environment, capture_output=True, text=True, timeout=UP_SECONDS, check=False
        )
        assert done.returncode == code, f"mesh {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts `./mesh …` and does not wait for it."""
        return subprocess.Popen(
            self.words(*words), cwd=self.clone, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    @contextlib.contextmanager
    def edited(self) -> Iterator[dict[str, Any]]:
        """The mesh of the stack's config, written back at the end of the body."""
        path = self.clone / "Pulumi.local.yaml"
        content = yaml.safe_load(path.read_text())
        yield content["config"]["envoy-mesh:mesh"]
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def machines(self) -> list[dict[str, str]]:
        done = subprocess.run(
            self.words("status", "--json"), cwd=self.clone, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        machines: list[dict[str, str]] = json.loads(done.stdout)["machines"]
        return machines

    def healthy(self, service: str) -> set[str]:
        return {one["id"] for one in self.machines() if one["service"] == service and one["health"] == "healthy"}

    def outputs(self) -> dict[str, Any]:
        outputs: dict[str, Any] = json.loads(self.mesh("outputs", "--json").stdout)
        return outputs

    @property
    def urls(self) -> list[str]:
        urls: list[str] = self.outputs()["edgeUrls"]
        return urls

    @property
    def ca(self) -> Path:
        return self.state / "ca.pem"

    def client(self, url: str) -> httpx.Client:
        """A client that trusts the mesh's CA and nobody else."""
        return httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=str(self.ca)), http2=True, trust_env=False, timeout=10)

    def aws(self, service: str) -> Any:
        """A boto3 client set up by nothing but what `./mesh env` prints."""
        lines = [line.removeprefix("export ").split("=", 1) for line in self.mesh("env").stdout.splitlines() if line.startswith("export")]
        settings = dict(lines)
        return boto3.client(
            service,
            endpoint_url=settings["AWS_ENDPOINT_URL"],
            region_name=settings["AWS_REGION"],
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        )

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to the stack: the state directory is in its words, its environment or its files."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                said = " ".join(process.cmdline()) + " ".join(process.environ().values()) + process.cwd()
                if f"{self.state}/" in f"{said}/" or str(self.state) in said.split():
                    found.append(process)
        return found

    def load(self, path: str, *, rate: float, seconds: float, method: str = "GET", edge: int = 0, retry: bool = False) -> "Load":
        """Starts the load client against an edge; with `retry` it sends a request once more whose connection breaks."""
        url = self.urls[edge] + path
        words = [sys.executable, str(REPO / "tests/e2e/load_client.py"), url, "--ca", str(self.ca), "--rate", str(rate)]
        words += ["--seconds", str(seconds), "--method", method, *(["--retry"] if retry else [])]
        return Load(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))


@dataclass(frozen=True)
class Load:
    """A running load client."""

    process: subprocess.Popen[str]

    def result(self) -> dict[str, Any]:
        """Waits for its end and says what became of the requests."""
        text, _ = self.process.communicate(timeout=150)
        assert self.process.returncode == 0
        result: dict[str, Any] = json.loads(text)
        shown = {key: value for key, value in result.items() if key not in ("answered", "first_seen")}
        print(f"load: {shown}")
        return result


def make_clone(place: Path) -> Path:
    """The repository's files without history and caches, as a fresh clone has them."""
    leave = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(REPO, place, ignore=leave, symlinks=True)
    return place


def eventually(what: str, check: Callable[[], bool], *, seconds: float, pause: float = 0.05) -> float:
    """Waits until `check` holds and returns how long that took; fails with `what` otherwise."""
    started = time.monotonic()
    while not check():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(pause)
    return time.monotonic() - started
