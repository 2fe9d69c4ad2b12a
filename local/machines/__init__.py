"""EC2 instances of the local cloud as processes: booted from their user data, watched, and ended with their instance."""
