"""`python -m vae_anomaly_cli` is the same as `vae-anomaly`."""

import sys

from vae_anomaly_cli.main import main

sys.exit(main())
