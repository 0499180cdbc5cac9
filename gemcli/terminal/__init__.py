"""What comes in from the command line and what is printed."""
