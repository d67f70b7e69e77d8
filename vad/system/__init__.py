"""What the machine gives: files, processes, memory, threads, precision."""
