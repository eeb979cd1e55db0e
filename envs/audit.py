"""Known vulnerabilities of the locked packages; where nobody can be asked, how old the lock is.

Never fails: what is published tomorrow must not stop today's work, nor must a machine without network.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).with_name("requirements.txt")
SECONDS = 20  # that the audit may take; it asks about some 150 packages
COMMAND = [sys.executable, "-m", "pip_audit", "--requirement", LOCK, "--disable-pip", "--format", "json"]


def audited() -> list[dict]:
    """The packages that somebody knew something about, each with its vulnerabilities."""
    try:
        done = subprocess.run(
            [*map(str, COMMAND), "--progress-spinner", "off", "--timeout", "3"], capture_output=True, timeout=SECONDS
        )
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return []
    return [package for package in packages if "skip_reason" not in package]


def lock_date() -> str:
    """When the lock was last renewed."""
    command = ["git", "log", "-1", "--format=%cs", "--", str(LOCK)]
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=LOCK.parent).stdout.strip() or "unknown"
    except OSError:
        return "unknown"


def main() -> None:
    """Print what is known."""
    packages = audited()
    if not packages:
        print(f"audit: nobody could be asked about vulnerabilities; date of the lock: {lock_date()}")
        return
    found = [(package, flaw) for package in packages for flaw in package["vulns"]]
    for package, flaw in found:
        fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
        print(f"audit: {package['name']} {package['version']}: {flaw['id']}, mended in {fixed}")
    print(f"audit: {len(packages)} packages, {len(found)} known vulnerabilities; `make lock` renews the lock")


if __name__ == "__main__":
    main()
