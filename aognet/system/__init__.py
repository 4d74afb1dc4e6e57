"""What the machine gives: processes, threads, locks, devices, the terminal and the user's folders."""
