"""What each page shows, as typed values: templates decide how it looks, and nothing else."""
