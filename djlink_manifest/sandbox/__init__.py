"""Throwaway servers for the demo and the tests: real ones, several at once, which end with their owner."""

from djlink_manifest.sandbox.servers.accounts import (
    create_link_user,
    create_local_user,
    create_owner,
    grant_pattern,
)
from djlink_manifest.sandbox.servers.binaries import ServerBinary, find_server
from djlink_manifest.sandbox.servers.server import SandboxServer
from djlink_manifest.sandbox.servers.start import ServerOptions, running_servers, start_server, start_servers
from djlink_manifest.sandbox.servers.template import datadir_template

__all__ = [
    "SandboxServer",
    "ServerBinary",
    "ServerOptions",
    "create_link_user",
    "create_local_user",
    "create_owner",
    "datadir_template",
    "find_server",
    "grant_pattern",
    "running_servers",
    "start_server",
    "start_servers",
]
