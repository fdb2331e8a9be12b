"""Push and pull: versions to a Hub and back."""
