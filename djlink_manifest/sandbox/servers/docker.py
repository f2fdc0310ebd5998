"""A server in a container, where a Docker engine answers and no other server is to be had.

The container mounts the server's folder at the same path and runs as the present user, so that everything
else in the sandbox works on the same files as with an installed server.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from djlink_manifest.errors import SandboxError

IMAGE = "mysql:9"


def pulled_image(report: Callable[[str], None]) -> str:
    """The image of a MySQL server, pulled where it is missing; SandboxError where no engine answers."""
    if not shutil.which("docker"):
        raise SandboxError("docker is not installed")
    if _docker("version", "--format", "{{.Server.Version}}").returncode:
        raise SandboxError("the Docker engine does not respond")
    if _docker("image", "inspect", IMAGE).returncode:
        report(f"Pulling the Docker image {IMAGE}, once.")
        pulled = _docker("pull", "--quiet", IMAGE)
        if pulled.returncode:
            raise SandboxError(f"the image {IMAGE} cannot be pulled: {pulled.stderr.strip()}")
    return IMAGE


def version_in(image: str) -> str:
    """The version of the server in an image."""
    answer = _docker("run", "--rm", "--entrypoint", "mysqld", image, "--version")
    version = re.search(r"Ver (\d+\.\d+\.\d+)", answer.stdout)
    if version is None:
        raise SandboxError(
            f"cannot read the version of the server in the image {image}: {answer.stderr.strip()}"
        )
    return version[1]


def container_name(folder: Path) -> str:
    """The name of the container that serves `folder`."""
    return f"djlink-{folder.name}"


def run_command(image: str, folder: Path, port: int | None) -> list[str]:
    """The words before the server's own options; `port` is opened on this machine's loopback alone."""
    published = ["--publish", f"127.0.0.1:{port}:{port}"] if port else []
    return [
        "docker",
        "run",
        "--rm",
        "--name",
        container_name(folder),
        "--user",
        f"{os.getuid()}:{os.getgid()}",
        "--volume",
        f"{folder}:{folder}",
        *published,
        "--entrypoint",
        "mysqld",
        image,
    ]


def remove_command(folder: Path) -> list[str]:
    """Ends the container of `folder` whatever state it is in."""
    return ["docker", "rm", "--force", "--volumes", container_name(folder)]


def _docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
