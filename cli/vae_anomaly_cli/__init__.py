"""The `vae-anomaly` command: fit, score and inspect from a shell."""
