"""The errors that a person can cause or meet. Each message is one sentence: what, where, what to do."""


class NoiseDashError(Exception):
    """Base of all errors whose message is meant for the person; the command line and pages show it as it is."""


class DataError(NoiseDashError, ValueError):
    """A dataset, an image or an annotation file cannot be used. Remedy: mend or remove the file that is named."""


class SpecError(NoiseDashError, ValueError):
    """A run, recipe or study asks for something that does not exist. Remedy: change the field that is named."""


class WeightsError(NoiseDashError, ValueError):
    """A weights file cannot be read or does not fit the network. Remedy: import it again or choose another."""


class NotFoundError(NoiseDashError, LookupError):
    """A dataset, study, job, run or weights of that name does not exist. Remedy: list them and choose one."""


class QueueError(NoiseDashError):
    """The queue refuses a change of state. Remedy: look at the job's state first."""


class StaleTokenError(QueueError):
    """A trainer writes with a token that is no longer the job's. Remedy: none; that trainer must end itself."""


class StoreError(NoiseDashError):
    """The database cannot be opened or written. Remedy: as the message says (disk, rights, file system)."""


class TransferError(StoreError):
    """Run files cannot be brought to or from NOISEDASH_STORAGE. Remedy: mend what the message names; it is retried."""


class ClusterError(NoiseDashError):
    """A Ray cluster cannot be started, reached or trusted. Remedy: as the message says (address, token, machine)."""


class StorageError(NoiseDashError, OSError):
    """A file cannot be written (disk full, rights). Remedy: free the disk, then retry the job."""


class DivergedError(NoiseDashError, ArithmeticError):
    """Training met a loss that is not finite. Remedy: lower the learning rate or clip the gradient."""
