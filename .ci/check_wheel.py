"""Check that a wheel holds the three packages, their data and the licence, and nothing else."""

import sys
import zipfile
from pathlib import Path

PACKAGES = {
    "vae_anomaly": "vae_anomaly",
    "vae_anomaly_cli": "cli/vae_anomaly_cli",
    "vae_anomaly_datasets": "datasets/vae_anomaly_datasets",
}
ROOT = Path(__file__).resolve().parents[1]


def faults(wheel: Path) -> list[str]:
    """Say what the wheel lacks and what it should not carry."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
        size = wheel.stat().st_size
        dist_info = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
        metadata = archive.read(f"{dist_info}/METADATA").decode()
        entry_points = archive.read(f"{dist_info}/entry_points.txt").decode()

    expected = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {f"{package}/__init__.py" for package in PACKAGES}
    expected |= {f"{package}/py.typed" for package in PACKAGES}
    expected |= {f"vae_anomaly_datasets/{name}" for name in ("registry.json", "thyroid_sick.csv.gz")}
    expected |= {
        f"{dist_info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }

    found = [f"lacks {name}" for name in sorted(expected - held)]
    found += [f"should not carry {name}" for name in sorted(held - expected)]
    if "License-Expression: BSD-3-Clause" not in metadata:
        found.append("does not declare the licence BSD-3-Clause")
    if "vae-anomaly = vae_anomaly_cli.main:main" not in entry_points:
        found.append("does not install the command vae-anomaly")
    if size > 2_000_000:
        found.append(f"is {size:,} bytes; 2,000,000 are enough")
    return found


def main() -> int:
    (wheel,) = (Path(argument) for argument in sys.argv[1:])
    found = faults(wheel)
    for fault in found:
        print(f"{wheel.name} {fault}", file=sys.stderr)
    if not found:
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, contents as expected")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
