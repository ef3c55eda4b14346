"""What an operator types: each command is one module that opens what it needs, prints, and leaves."""
