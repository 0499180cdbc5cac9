"""Proof that nothing is lost: every file-system call of every operation is killed, failed, or cut by a power loss."""
