"""Throwaway MySQL and MariaDB servers: found, unpacked, started, guarded and ended."""
