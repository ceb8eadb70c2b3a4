#!/usr/bin/env bash
# Draws report.png, the picture of a report in the README: docs/images/report.sh; needs chromium.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd datasets/vae_anomaly_datasets && vae-anomaly report thyroid_sick.csv.gz --label label -o "$work/report.html")
chromium --headless --no-sandbox --hide-scrollbars --window-size=1100,1000 \
    --screenshot="$work/report.png" "file://$work/report.html"
python -c '
import sys
from PIL import Image
Image.open(sys.argv[1]).convert("RGB").quantize(48).save("docs/images/report.png", optimize=True)
' "$work/report.png"
