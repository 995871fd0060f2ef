"""How much memory a server takes: the resident set of its process and of all below, from /proc."""

from pathlib import Path

KIBIBYTE = 1024


def _status(process_id):
    try:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    except OSError:  # it has ended
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def resident_bytes(process_id):
    """Sum the resident sets of a process and its descendants."""
    statuses = {int(path.name): _status(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}
    family = {process_id}
    while more := {pid for pid, status in statuses.items() if int(status.get("PPid", 0)) in family} - family:
        family |= more
    return sum(int(statuses[pid].get("VmRSS", "0 kB").split()[0]) * KIBIBYTE for pid in family)
