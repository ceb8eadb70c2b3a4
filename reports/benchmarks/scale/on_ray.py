"""A command beside a local Ray of its own: python -m benchmarks.scale.on_ray CPUS COMMAND...

The command's own local Ray has as many CPUs as the machine; this one has as many as are asked for.
"""

from __future__ import annotations

import subprocess
import sys

import ray

OBJECT_STORE_BYTES = 512 << 20

if __name__ == "__main__":
    ray.init(
        num_cpus=int(sys.argv[1]),
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=OBJECT_STORE_BYTES,
    )
    address = ray.get_runtime_context().gcs_address
    done = subprocess.run([*sys.argv[2:], "--address", address], check=False)
    ray.shutdown()
    sys.exit(done.returncode)
