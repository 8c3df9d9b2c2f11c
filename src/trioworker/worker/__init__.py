"""The worker: three tasks joined by channels of batches, and what keeps them alive."""
