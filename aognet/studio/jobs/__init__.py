"""What jobs of each kind paint."""
