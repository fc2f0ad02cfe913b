"""Exit codes, the same in text and JSON output (operators.md), and the error that carries one."""


class ExitCode:
    """Plain ints: this module is imported by every command and stays light."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REJECTED = 4
    """Rejected by the node or the rules; for lab commands: a mismatch."""
    NOT_FOUND = 5
    TIMEOUT = 6
    NOT_SYNCED = 7
    STORE = 74
    CONFIG = 78


class CommandFailed(Exception):
    """Ends the command with a message for the user and an exit code; no traceback."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
