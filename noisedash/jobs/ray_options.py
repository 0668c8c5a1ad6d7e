"""How jobs are placed on a Ray cluster."""

from dataclasses import dataclass

from noisedash.jobs.protocol import LEASE_S


@dataclass(frozen=True)
class RayOptions:
    """What `noisedash worker --placer ray` was asked for."""

    address: str
    """HOST:PORT of the cluster's head."""
    cpus_per_job: float = 1.0
    gpus_per_job: float | None = None
    """None: one where the cluster has any."""
    lease_s: float = LEASE_S
    trainer: tuple[str, ...] = ()
    """Another trainer's command line, as in `ray_task.Order`."""
