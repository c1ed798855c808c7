"""Looks up known vulnerabilities of every package in dev.lock with pip-audit.

Ends with 0 where none is known, with 1 where some are, and with 3 where the database could not be asked, of all
packages or of some: what was not looked up is not safe.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).with_name("dev.lock")
NOT_RUN = 3


def main() -> int:
    """Run pip-audit and say what it found."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps", "--disable-pip"]
    ran = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        sys.stderr.write(f"The audit was not run: {(ran.stderr.strip().splitlines() or ['no answer'])[-1]}\n")
        return NOT_RUN
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    found = [(one["name"], one["version"], vuln) for one in packages for vuln in one.get("vulns", ())]
    for name, version, vuln in found:
        fixed = ", ".join(vuln["fix_versions"]) or "no version yet"
        sys.stdout.write(f"{name} {version}: {vuln['id']}, fixed in {fixed}\n")
    if found:
        return 1
    if skipped:
        sys.stderr.write(
            f"The audit was not run for {len(skipped)} of {len(packages)} packages: the database has none.\n"
        )
        return NOT_RUN
    sys.stdout.write(f"No vulnerability is known of {len(packages)} packages.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
