"""Where this machine has the database servers that the stores are tested against, and in which versions."""

import re
import shutil
import subprocess
from pathlib import Path

# Each with the package of Debian that has it.
PROGRAMS = {
    "redis-server": "redis-server",
    "postgres": "postgresql",
    "mariadbd": "mariadb-server",
    "memcached": "memcached",
}


def find_program(name):
    """Find a program on PATH, or where Debian puts servers and those of PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or shutil.which(name, path="/usr/sbin") or (str(found[-1]) if found else None)


def servers_in_use():
    """Describe the servers in one line, such as `redis-server 7.0.15, postgres 15.18, mariadbd not found`."""
    described = []
    for name in PROGRAMS:
        program = find_program(name)
        shown = (
            subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout if program else ""
        )
        version = re.search(r"\d+(?:\.\d+)+", shown)
        described.append(f"{name} {version[0] if version else 'not found'}")
    return ", ".join(described)
