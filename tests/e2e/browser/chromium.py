"""A real browser: Chromium of this host, else Debian's package, with an authority of ours in its certificate database."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserType

from local.machines.debian_package import libraries, unpacked

FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir>/usr/share/fonts</dir><dir>{root}/usr/share/fonts</dir><cachedir>{home}/fonts</cachedir></fontconfig>
"""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program of this host, or one that was unpacked at `root` and has its libraries and fonts there."""

    path: Path
    root: Path = Path("/")

    def environment(self, home: Path) -> dict[str, str]:
        """What it is run with; it keeps its files in `home`."""
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home)}
        if self.root != Path("/"):
            fonts = home / "fonts.conf"
            fonts.write_text(FONTS.format(root=self.root, home=home))
            environment |= {"LD_LIBRARY_PATH": libraries(self.root), "FONTCONFIG_FILE": str(fonts)}
        return environment


def find_chromium() -> Program:
    """Chromium or Chrome; raises NotToBeHad."""
    for name in ("chromium", "google-chrome"):
        found = shutil.which(name)
        # A snap sees neither our directories nor our certificate database.
        if found and "snap" not in Path(found).resolve().parts:
            return Program(path=Path(found))
    root = asyncio.run(unpacked("chromium", dependencies=True))
    return Program(path=root / "usr/lib/chromium/chromium", root=root)


def find_certutil() -> Program:
    """NSS' tool for certificate databases; raises NotToBeHad."""
    if found := shutil.which("certutil"):
        return Program(path=Path(found))
    root = asyncio.run(unpacked("libnss3-tools", dependencies=True))
    return Program(path=root / "usr/bin/certutil", root=root)


def trust(certutil: Program, authority: Path, home: Path) -> None:
    """Makes the authority one that browsers with this home trust, as a person would who imports it."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for words in (["-N", "--empty-password"], ["-A", "-n", "mesh", "-t", "C,,", "-i", str(authority)]):
        command = [str(certutil.path), *words, "-d", f"sql:{database}"]
        done = subprocess.run(command, env=certutil.environment(home), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


@contextmanager
def running(kind: BrowserType, program: Program, home: Path, hosts: dict[str, str]) -> Iterator[Browser]:
    """The browser, headless; `hosts` maps names (`host` or `host:port`) to where they lead, as DNS would."""
    rules = ", ".join(f"MAP {name} {place}" for name, place in hosts.items())
    # Its sandbox needs rights that containers and root lack; nothing but the stack's own pages is opened.
    browser = kind.launch(
        executable_path=program.path,
        env=dict(program.environment(home)),
        args=[f"--host-resolver-rules={rules}"],
        chromium_sandbox=False,
    )
    try:
        yield browser
    finally:
        browser.close()
