"""What a package is read from and fetched from, every byte of it looked at."""
