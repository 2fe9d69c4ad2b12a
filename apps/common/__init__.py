"""What every program on a machine needs: its log, its environment, a clean stop and AWS clients."""
