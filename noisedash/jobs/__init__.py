"""Store, queue, worker and trainer: what runs where, once, whatever is killed."""
